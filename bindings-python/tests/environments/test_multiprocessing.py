"""Children of `multiprocessing` and `concurrent.futures`: each opens a client, the parent's goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripts import run

if TYPE_CHECKING:
    from conftest import Folder

# What a child inherits by `fork` is the parent's; `spawn` and `forkserver` hand nothing on.
PROGRAM = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from bindwright import Client, errors

inherited = None

def child(number):
    refused = False
    if inherited is not None:
        try:
            inherited.invoke_binding("orders", "create", b"with the parent's client")
        except errors.ForkedError:
            refused = True
    with Client(".") as own:
        own.invoke_binding("orders", "create", f"child {number}")
        # Receiving works in a child, too; nobody else hears of a queue in its memory.
        with own.events("queue") as events:
            own.invoke_binding("queue", "create", f"own {number}")
            event = next(events)
            assert event.text() == f"own {number}" and event.ack()
    return refused

def main():
    global inherited
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    with Client(".") as client, client.events("orders") as events:
        inherited = client
        client.invoke_binding("orders", "create", "before")
        single = context.Process(target=child, args=(0,))
        single.start()
        single.join(30)
        assert single.exitcode == 0, single.exitcode
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            refused = list(pool.map(child, range(1, 4), timeout=30))
        assert refused == [method == "fork"] * 3, refused
        client.invoke_binding("orders", "create", "after")
        seen = []
        for event in events:
            seen.append(event.text())
            assert event.ack()
            if len(seen) == 6:
                break
    print(sorted(seen))

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_work_with_clients_of_their_own(folder: Folder, method: str) -> None:
    folder.kafka("orders")
    folder.memory("queue")
    (folder.path / "program.py").write_text(PROGRAM)
    said = run(folder.path, "-W", "ignore::DeprecationWarning", "program.py", method)
    assert said == "['after', 'before', 'child 0', 'child 1', 'child 2', 'child 3']\n"
