"""Handlers: what settles an event, order, threads, and the end of `run`."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from bindwright import Client, Event, Outcome
from bindwright.errors import BindwrightError, ComponentNotFoundError, InvalidOptionsError
from conftest import Program, Seen, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Folder


def send(client: Client, *payloads: object) -> None:
    """To one partition, so that they have an order."""
    client.invoke_many("orders", "create", payloads, {"partitionKey": "k"})


def test_returning_acks(client: Client, folder: Folder) -> None:
    handler = Seen({("b", 1): "anything"})
    client.binding("orders")(handler)
    send(client, "a", "b")
    with running(client):
        wait_until(lambda: len(handler.seen) == 2)
    assert handler.seen == [("a", 1), ("b", 1)]
    with Client(folder.path) as again:
        send(again, "c")
        with again.events("orders") as events:
            assert next(events).data == b"c"


def test_an_event_that_raises_comes_again_before_its_followers(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Seen({("b", 1): ValueError("broken"), ("b", 2): KeyError("again")})
    client.binding("orders")(handler)
    send(client, "a", "b", "c", "d")
    with caplog.at_level(logging.ERROR, "bindwright"), running(client):
        wait_until(lambda: ("d", 1) in handler.seen)
    assert handler.seen == [("a", 1), ("b", 1), ("b", 2), ("b", 3), ("c", 1), ("d", 1)]
    first, second = caplog.records
    assert first.getMessage() == (
        "the handler of binding 'orders' failed on delivery 1; "
        "the event comes again unless its deliveries are used up"
    )
    assert first.exc_info is not None
    assert first.exc_info[0] is ValueError
    assert first.exc_info[2] is not None, "with its traceback"
    assert "delivery 2" in second.getMessage()


def test_an_outcome_is_honoured(client: Client) -> None:
    handler = Seen(
        {
            ("a", 1): Outcome.retry(after=0.1),
            ("a", 2): Outcome.RETRY,
            ("b", 1): Outcome.DROP,
            ("c", 1): Outcome.ACK,
        }
    )
    client.binding("orders")(handler)
    send(client, "a", "b", "c")
    with running(client):
        wait_until(lambda: ("c", 1) in handler.seen)
    assert handler.seen == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1)]


def test_outcomes_are_values() -> None:
    assert Outcome.retry(1.5) == Outcome.retry(1.5)
    assert Outcome.retry(1.5) != Outcome.RETRY
    assert len({Outcome.ACK, Outcome.DROP, Outcome.RETRY, Outcome.retry()}) == 3
    assert [repr(Outcome.ACK), repr(Outcome.retry(0.5))] == ["Outcome.ACK", "Outcome.retry(0.5)"]


def test_the_first_settlement_counts(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def ack_and_fail(event: Event) -> None:
        assert event.ack()
        assert not event.retry()
        raise ValueError

    handler = Seen({("a", 1): ack_and_fail, ("b", 1): lambda event: event.retry(after=0)})
    client.binding("orders")(handler)
    send(client, "a", "b", "c")
    with running(client):
        wait_until(lambda: ("c", 1) in handler.seen)
    assert handler.seen == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    assert caplog.messages == [
        "the handler of binding 'orders' failed on delivery 1; the event was settled before"
    ]


def test_an_awaitable_is_a_failure(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> None:
        """Do nothing."""

    handler = Seen({("a", 1): lambda _: later()})
    client.binding("orders")(handler)
    send(client, "a")
    with running(client):
        wait_until(lambda: ("a", 2) in handler.seen)
    assert "bindwright.aio" in str(caplog.records[0].exc_info)


def test_what_would_never_run_is_refused(client: Client) -> None:
    async def asynchronous(event: Event) -> None:
        """Do nothing."""

    def generator(event: Event) -> Iterator[Event]:
        yield event

    class Asynchronous:
        async def __call__(self, event: Event) -> None:
            """Do nothing."""

    handlers = [asynchronous, functools.partial(asynchronous), generator, Asynchronous(), 5]
    for handler in handlers:
        with pytest.raises(InvalidOptionsError, match="orders"):
            client.binding("orders")(cast("Callable[[Event], object]", handler))


def test_a_binding_has_one_handler(client: Client) -> None:
    handler = Seen()
    assert client.binding("orders")(handler) is handler
    with pytest.raises(InvalidOptionsError, match="has a handler already"):
        client.binding("orders")(handler)
    with pytest.raises(InvalidOptionsError, match="workers"):
        client.binding("others", workers=0)


def test_running_nothing_is_refused(client: Client) -> None:
    with pytest.raises(InvalidOptionsError, match="no handler"):
        client.run()


def test_a_handler_of_an_unknown_binding_ends_the_run(client: Client) -> None:
    client.binding("nobody")(Seen())
    with pytest.raises(ComponentNotFoundError, match="nobody"):
        client.run()


def test_partitions_run_in_parallel_while_a_handler_is_slow(client: Client) -> None:
    both, met = threading.Barrier(2), threading.Event()

    @client.binding("orders")
    def on_order(event: Event) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(20)
            met.set()

    # Keys that the broker's four partitions do not all share.
    for key in range(20):
        client.invoke_binding("orders", "create", b"", {"partitionKey": str(key)})
    with running(client, drain=1):
        assert met.wait(20)
        both.abort()


def test_one_worker_is_never_joined_by_another(client: Client) -> None:
    threads = set()
    handled = []

    @client.binding("orders", workers=1)
    def on_order(event: Event) -> None:
        time.sleep(0.02)
        threads.add(threading.get_ident())
        handled.append(event)

    for key in range(20):
        client.invoke_binding("orders", "create", b"", {"partitionKey": str(key)})
    with running(client):
        wait_until(lambda: len(handled) == 20)
    assert len(threads) == 1


def test_a_system_exit_ends_the_run_and_the_event_comes_again(client: Client, folder: Folder) -> None:
    client.binding("orders")(Seen({("a", 1): SystemExit(3)}))
    send(client, "a", "b")
    with pytest.raises(SystemExit, match="3"):
        client.run()
    with Client(folder.path) as again, again.events("orders") as events:
        assert next(events).data == b"a"


def test_closing_from_elsewhere_ends_the_run(client: Client) -> None:
    handler = Seen()
    client.binding("orders")(handler)
    send(client, "a")
    with running(client) as thread:
        wait_until(lambda: handler.seen)
        client.close()
        thread.join(20)
        assert not thread.is_alive()


def test_a_handler_may_stop_the_run(client: Client) -> None:
    client.binding("orders")(Seen({("a", 1): lambda _: client.stop()}))
    send(client, "a")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    client.run()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_stopping_finishes_what_was_begun_and_begins_nothing_else(client: Client, folder: Folder) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen = []

    @client.binding("orders")
    def on_order(event: Event) -> None:
        seen.append(event.text())
        begun.set()
        assert go_on.wait(20)

    send(client, "a", "b", "c")
    with running(client, drain=20):
        assert begun.wait(20)
        client.stop()
        threading.Timer(0.2, go_on.set).start()
    assert seen == ["a"]
    with Client(folder.path) as again, again.events("orders") as events:
        assert next(events).data == b"b"


def test_a_handler_can_still_call_while_the_client_drains(folder: Folder) -> None:
    folder.kafka("orders")
    folder.kafka("audit")
    begun, go_on = threading.Event(), threading.Event()
    replies = []
    client = Client(folder.path)

    @client.binding("orders")
    def on_order(event: Event) -> None:
        begun.set()
        assert go_on.wait(20)
        replies.append(client.invoke_binding("audit", "create", b"late"))

    send(client, "a")
    with running(client, drain=20):
        assert begun.wait(20)
        client.stop()
        threading.Timer(0.3, go_on.set).start()
    assert len(replies) == 1


def test_a_handler_that_hangs_ends_with_the_drain(client: Client) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @client.binding("orders")
    def on_order(event: Event) -> None:
        begun.set()
        go_on.wait(30)

    send(client, "a")
    with running(client, drain=0.3):
        assert begun.wait(20)
        began = time.monotonic()
        client.stop()
    assert time.monotonic() - began < 5
    go_on.set()


HANDLER = """\
import sys, time
from bindwright import Client
client = Client(".")

@client.binding("orders")
def on_order(event):
    print("begun", flush=True)
    time.sleep(0.5)
    print("done", flush=True)

client.run()
print("over")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_the_run(
    client: Client, folder: Folder, program: Program, number: signal.Signals
) -> None:
    send(client, "a")
    process = program(HANDLER)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (0, "done\nover\n", "")


def test_ctrl_c_interrupts_a_call_that_waits(folder: Folder, program: Program) -> None:
    folder.kafka("away", brokers="127.0.0.1:1")
    process = program(
        "from bindwright import Client\n"
        "client = Client('.')\n"
        "try:\n"
        "    print('begun', flush=True)\n"
        "    client.invoke_binding('away', 'create', b'')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "interrupted\n", "")


def test_ctrl_c_interrupts_a_program_that_waits_for_events(client: Client, program: Program) -> None:
    send(client, "a")
    process = program(
        "from bindwright import Client\n"
        "with Client('.') as client:\n"
        "    try:\n"
        "        for event in client.events('orders'):\n"
        "            print(event.ack(), flush=True)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    os.kill(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "interrupted\n", "")


def test_an_error_in_a_handlers_call_is_logged_like_any_other(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def call(event: Event) -> None:
        client.invoke_binding("nobody", "create", b"")

    handler = Seen({("a", 1): call})
    client.binding("orders")(handler)
    send(client, "a")
    with running(client):
        wait_until(lambda: ("a", 2) in handler.seen)
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], BindwrightError)
