"""Handlers behind the program's back: `start`, what ends them, and the context variables that they see."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, Event
from bindwright.errors import ClosedError, ComponentNotFoundError, InvalidOptionsError
from conftest import Seen, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Folder, Program

VALUE: contextvars.ContextVar[str] = contextvars.ContextVar("VALUE", default="unset")


@pytest.fixture
def memory(folder: Folder) -> Iterator[Client]:
    """A client with two components in memory, `orders` and `others`."""
    folder.memory("orders", partitions=4)
    folder.memory("others")
    with Client(folder.path) as client:
        yield client


def size(client: Client, name: str = "orders") -> object:
    return client.invoke_binding(name, "size").json()


def test_start_returns_and_closing_drains(folder: Folder) -> None:
    folder.memory("orders")
    begun, go_on = threading.Event(), threading.Event()
    client = Client(folder.path)

    @client.binding("orders")
    def on_order(event: Event) -> None:
        begun.set()
        assert go_on.wait(20)

    client.invoke_many("orders", "create", ["a", "b"])
    with Client(folder.path) as other:
        with client:
            client.start()
            assert begun.wait(20)
            threading.Timer(0.1, go_on.set).start()
        assert size(other) == 1, "what was begun is settled, and nothing else was begun"
    assert not [one for one in threading.enumerate() if one.name.startswith("bindwright-orders")]


def test_an_error_of_subscribing_is_raised_by_start(memory: Client) -> None:
    handler = Seen()
    memory.binding("orders")(handler)
    memory.binding("nobody")(Seen())
    with pytest.raises(ComponentNotFoundError, match="nobody"):
        memory.start()
    memory.invoke_binding("orders", "create", "a")
    wait_until(lambda: handler.seen == [("a", 1)])


def test_starting_without_a_handler_is_refused(memory: Client) -> None:
    with pytest.raises(InvalidOptionsError, match="no handler"):
        memory.start()


@pytest.mark.parametrize("how", ["start", "run"])
def test_a_handler_that_is_registered_later_begins_at_once(memory: Client, how: str) -> None:
    first, second = Seen(), Seen()
    memory.binding("orders")(first)
    memory.invoke_binding("orders", "create", "a")
    memory.invoke_binding("others", "create", "b")

    def go_on() -> None:
        wait_until(lambda: first.seen)
        with pytest.raises(ComponentNotFoundError, match="nobody"):
            memory.binding("nobody")(Seen())
        memory.binding("others")(second)
        wait_until(lambda: second.seen == [("b", 1)])

    if how == "start":
        memory.start()
        go_on()
    else:
        with running(memory):
            go_on()


def test_starting_twice_is_fine_and_run_goes_on_with_it(memory: Client) -> None:
    handler = Seen()
    memory.binding("orders")(handler)
    memory.start()
    memory.start()
    with running(memory):
        memory.invoke_binding("orders", "create", "a")
        wait_until(lambda: handler.seen == [("a", 1)])
        memory.close()
        with pytest.raises(ClosedError):
            memory.start()


def test_stopping_begins_no_more_events(memory: Client) -> None:
    handler = Seen()
    memory.binding("orders")(handler)
    memory.start()
    memory.invoke_binding("orders", "create", "a")
    wait_until(lambda: handler.seen)
    memory.stop()
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("bindwright-orders")])
    memory.invoke_binding("orders", "create", "b")
    assert handler.seen == [("a", 1)]
    wait_until(lambda: size(memory) == 1)


def test_a_system_exit_ends_the_handlers_and_is_raised_by_close(
    memory: Client, caplog: pytest.LogCaptureFixture
) -> None:
    memory.binding("orders")(Seen({("a", 1): SystemExit(3)}))
    others = Seen()
    memory.binding("others")(others)
    memory.start()
    memory.invoke_binding("orders", "create", "a")
    wait_until(lambda: [one for one in caplog.messages if "ended all handlers" in one])
    assert "'orders'" in caplog.messages[-1]
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("bindwright-o")])
    memory.invoke_binding("others", "create", "b")
    assert (size(memory), size(memory, "others"), others.seen) == (1, 1, [])
    with pytest.raises(SystemExit, match="3"):
        memory.close()
    memory.close()


def test_a_handler_may_close_its_client(memory: Client, folder: Folder) -> None:
    closed = threading.Event()

    @memory.binding("orders")
    def on_order(event: Event) -> None:
        event.ack()
        memory.close()
        closed.set()

    memory.start()
    memory.invoke_binding("orders", "create", "a")
    assert closed.wait(20)


def test_signals_are_left_to_the_program(program: Program, folder: Folder) -> None:
    folder.memory("orders")
    process = program(
        "import os, signal\n"
        "from bindwright import Client\n"
        "with Client('.') as client:\n"
        "    client.binding('orders')(lambda event: print('handled'))\n"
        "    client.start()\n"
        "    client.invoke_binding('orders', 'create')\n"
        "    while client.invoke_binding('orders', 'size').json(): pass\n"
        "    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (-15, "handled\nTrue\n", "")


def test_a_program_that_never_closes_ends_all_the_same(program: Program, folder: Folder) -> None:
    folder.memory("orders")
    process = program(
        "from bindwright import Client\n"
        "client = Client('.')\n"
        "client.binding('orders')(lambda event: None)\n"
        "client.start()\n"
        "print('end')\n"
    )
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "end\n", "")


@pytest.mark.parametrize("how", ["start", "run"])
@pytest.mark.parametrize("batch", [None, 10])
def test_handlers_see_what_was_set_where_they_were_started(
    memory: Client, how: str, batch: int | None
) -> None:
    seen = []

    def handle(_: object) -> None:
        seen.append(VALUE.get())
        VALUE.set("a handler's own")

    memory.binding("orders", batch=batch)(handle)
    VALUE.set("set before")
    start = memory.start if how == "start" else memory.run
    thread = threading.Thread(target=contextvars.copy_context().run, args=(start,))
    thread.start()
    VALUE.set("set afterwards")
    memory.invoke_binding("orders", "create", "a")
    wait_until(lambda: seen)
    assert seen == ["set before"]
    assert VALUE.get() == "set afterwards"
    memory.close()
    thread.join(20)


def test_what_a_handler_sets_does_not_reach_other_threads(memory: Client) -> None:
    both = threading.Barrier(2, timeout=20)
    seen = []

    @memory.binding("orders")
    def on_order(event: Event) -> None:
        VALUE.set(str(threading.get_ident()))
        both.wait()
        seen.append(VALUE.get() == str(threading.get_ident()))

    VALUE.set("set before")
    for key in range(8):
        memory.invoke_binding("orders", "create", b"", {"partitionKey": str(key)})
    memory.start()
    wait_until(lambda: len(seen) >= 2)
    both.abort()
    memory.close(0)
    assert seen[:2] == [True, True]
