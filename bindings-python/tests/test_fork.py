"""Forked children: told what is the parent's, harmless to it, and free to open their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Folder, Program

# The child's part stands in the place of {child}; `refused` names what raises ForkedError there.
PARENT = """
import gc, os, signal, sys
signal.alarm(45)
from bindwright import Client, errors

def refused(*calls):
    for number, call in enumerate(calls):
        try:
            print("call", number, "returned", call())
        except errors.ForkedError as error:
            assert error.code == "FORKED"

client = Client(".")
client.invoke_binding("orders", "create", b"first")
events = client.events("orders")
first = next(events)
child = os.fork()
if child == 0:
    signal.alarm(30)
{child}
_, status = os.waitpid(child, 0)
print("child:", status)
print(first.ack())
client.invoke_binding("orders", "create", b"parent")
while True:
    event = next(events)
    print(event.text(), event.attempt, event.ack())
    if event.text() == "parent":
        break
client.close()
"""
AFTERWARDS = ["child: 0", "True", "parent 1 True"]

REFUSED = """
    refused(
        lambda: client.invoke_binding("orders", "create", b"child"),
        lambda: client.invoke_many("orders", "create", [b"child"]),
        lambda: client.events("orders"),
        lambda: client.ready(1),
        lambda: client.reload(),
        lambda: client.add_component("x"),
        lambda: client.remove_component("orders"),
        lambda: next(events),
        first.ack, first.retry, first.drop, first.dead_letter, first.emit,
    )
    print([one.state for one in client.components()], first.text())
    # What has nothing to give back has nothing to refuse either.
    events.close(); client.close()
"""
GONE = """
    del client, events, first
    gc.collect()
"""
OWN = """
    with Client(".") as own, own.events("own") as received:
        own.invoke_binding("own", "create", b"child")
        event = next(received)
        print(event.text(), event.ack())
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "gc.disable(); sys.exit(0)"])
@pytest.mark.parametrize("kind", ["kafka", "memory"])
@pytest.mark.parametrize("parts", ["refused", "gone", "all"])
def test_a_forked_child_leaves_alone_what_it_inherited_and_works_with_its_own(
    program: Program, folder: Folder, kind: str, parts: str, end: str
) -> None:
    for name in ("orders", "own"):
        getattr(folder, kind)(name)
    source, expected = {
        "refused": (REFUSED, ["['failed', 'failed'] first"]),
        "gone": (GONE, []),
        "all": (REFUSED + GONE + OWN, ["['failed', 'failed'] first", "child True"]),
    }[parts]
    process = program(PARENT.replace("{child}", f"{source}\n    {end}"))
    out, error = process.communicate(timeout=50)
    assert (process.returncode, out.splitlines(), error) == (0, [*expected, *AFTERWARDS], "")


def test_a_handler_may_fork(program: Program, folder: Folder) -> None:
    folder.memory("orders")
    process = program(
        "import os, subprocess, sys\n"
        "from bindwright import Client\n"
        "client = Client('.')\n"
        "client.invoke_binding('orders', 'create', b'x')\n"
        "@client.binding('orders')\n"
        "def handle(event):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        sys.exit(0)\n"
        "    print('child:', os.waitpid(child, 0)[1])\n"
        "    client.stop()\n"
        "client.run()\n"
        "print('size:', Client('.').invoke_binding('orders', 'size').json())\n"
    )
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (0, "child: 0\nsize: 0\n", "")
