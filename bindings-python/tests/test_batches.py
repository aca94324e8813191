"""Handlers of many events at once: what they get, what they may answer, threads, and the end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from bindwright import Client, Event, Outcome
from bindwright.errors import InvalidOptionsError
from conftest import running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder

Batches = list[list[tuple[str, int]]]


@pytest.fixture
def client(folder: Folder) -> Client:
    """One component, `orders`, with one partition, so that its events have an order."""
    folder.memory()
    return Client(folder.path)


def take(batches: Batches, events: list[Event]) -> None:
    batches.append([(event.text(), event.attempt) for event in events])


def handled(batches: Batches) -> list[tuple[str, int]]:
    return [event for batch in batches for event in batch]


def rest(client: Client, name: str = "orders") -> int:
    """How many messages are not settled."""
    return cast("int", client.invoke_binding(name, "size").json())


def test_a_batch_has_what_is_there_up_to_its_size(client: Client) -> None:
    batches: Batches = []
    client.binding("orders", batch=4)(lambda events: take(batches, events))
    client.invoke_many("orders", "create", list("abcdefghij"))
    with running(client):
        wait_until(lambda: rest(client) == 0)
    assert handled(batches) == [(letter, 1) for letter in "abcdefghij"]
    assert max(len(batch) for batch in batches) == 4
    assert all(batches)


def test_a_batch_has_events_of_several_partitions(folder: Folder) -> None:
    folder.memory(partitions=4)
    begun, go_on = threading.Event(), threading.Event()
    keys: list[set[str]] = []
    with Client(folder.path) as client:

        @client.binding("orders", batch=100, workers=1)
        def handle(events: list[Event]) -> None:
            keys.append({event.metadata["key"] for event in events})
            begun.set()
            assert go_on.wait(20)

        def send() -> None:
            metadata = [{"partitionKey": str(number % 20)} for number in range(100)]
            client.invoke_many("orders", "create", ["x"] * 100, metadata)

        send()
        with running(client):
            # The first batch may come before all partitions are read.
            assert begun.wait(20)
            send()
            go_on.set()
            wait_until(lambda: rest(client) == 0)
    # Twenty keys are spread over the four partitions; one partition alone has a part of them.
    assert max(len(some) for some in keys) > 12


def test_each_event_can_have_an_outcome_of_its_own(client: Client) -> None:
    batches: Batches = []

    @client.binding("orders", batch=10)
    def handle(events: list[Event]) -> list[Outcome | None]:
        take(batches, events)
        again = {("b", 1): Outcome.RETRY, ("c", 1): Outcome.DROP, ("b", 2): Outcome.retry(0)}
        return [again.get((event.text(), event.attempt)) for event in events]

    client.invoke_many("orders", "create", list("abcd"))
    with running(client):
        wait_until(lambda: rest(client) == 0)
    seen = handled(batches)
    assert sorted(seen) == [("a", 1), ("b", 1), ("b", 2), ("b", 3), ("c", 1), ("d", 1)]
    assert batches[0] == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


def test_one_outcome_counts_for_all(client: Client) -> None:
    batches: Batches = []

    @client.binding("orders", batch=10)
    def handle(events: list[Event]) -> Outcome | None:
        take(batches, events)
        return Outcome.RETRY if len(batches) == 1 else Outcome.DROP

    client.invoke_many("orders", "create", list("ab"))
    with running(client):
        wait_until(lambda: rest(client) == 0)
    assert batches == [[("a", 1), ("b", 1)], [("a", 2), ("b", 2)]]


def raise_it(events: list[Event]) -> None:
    raise ValueError("broken")


async def later() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (raise_it, "broken"),
        (lambda events: [Outcome.ACK], "given 2 events and returned 1"),
        (lambda events: [], "given 2 events and returned 0"),
        (lambda events: (None, True), "an entry for an event is an Outcome or None, got bool"),
        (lambda events: len(events), "got int"),
        (lambda events: "ab", "got str"),
        (lambda events: Outcome.emit(), "once for each event"),
        (lambda events: later(), "bindwright.aio"),
    ],
)
def test_a_failed_batch_comes_again_as_a_whole(
    client: Client, caplog: pytest.LogCaptureFixture, answer: Callable[[list[Event]], object], text: str
) -> None:
    batches: Batches = []

    def handle(events: list[Event]) -> object:
        take(batches, events)
        return answer(events) if len(batches) == 1 else None

    client.binding("orders", batch=2)(cast("Callable[[list[Event]], None]", handle))
    client.invoke_many("orders", "create", list("abc"))
    with running(client):
        wait_until(lambda: rest(client) == 0)
    assert batches == [[("a", 1), ("b", 1)], [("a", 2), ("b", 2)], [("c", 1)]]
    [record] = caplog.records
    assert record.getMessage() == (
        "the handler of binding 'orders' failed with a batch of 2; what it did not settle comes again "
        "unless its deliveries are used up"
    )
    assert record.exc_info is not None
    assert text in str(record.exc_info[1])
    assert record.exc_info[2] is not None or answer is not raise_it, "with its traceback"


def test_the_cause_of_a_failed_batch_is_told_by_every_dead_letter(folder: Folder) -> None:
    folder.memory(maxDeliveryCount=1, deadLetterBinding="letters")
    folder.memory("letters")
    with Client(folder.path) as client:
        client.binding("orders", batch=10)(raise_it)
        client.invoke_many("orders", "create", list("ab"))
        with running(client), client.events("letters") as events:
            letters = [next(events), next(events)]
            assert all(letter.ack() for letter in letters)
    assert sorted(letter.text() for letter in letters) == ["a", "b"]
    assert {letter.metadata["deadLetterCode"] for letter in letters} == {"ValueError"}


def test_events_of_a_batch_can_be_settled_one_by_one(client: Client) -> None:
    batches: Batches = []

    @client.binding("orders", batch=10)
    def handle(events: list[Event]) -> None:
        take(batches, events)
        if len(batches) == 1:
            assert events[0].ack()
            assert not events[0].retry()
            raise ValueError("the others")

    client.invoke_many("orders", "create", list("abc"))
    with running(client):
        wait_until(lambda: rest(client) == 0)
    assert batches == [[("a", 1), ("b", 1), ("c", 1)], [("b", 2), ("c", 2)]]


def test_the_handler_may_do_with_the_list_what_it_likes(client: Client) -> None:
    client.binding("orders", batch=10)(list[Event].clear)
    client.invoke_many("orders", "create", list("abc"))
    with running(client):
        wait_until(lambda: rest(client) == 0)


def test_a_batch_that_is_not_positive_is_refused(client: Client) -> None:
    with pytest.raises(InvalidOptionsError, match="batch: expected at least 1, got 0"):
        client.binding("orders", batch=0)


def test_stopping_waits_for_the_batch_and_begins_no_other(client: Client) -> None:
    begun, go_on = threading.Event(), threading.Event()
    batches: Batches = []

    @client.binding("orders", batch=2)
    def handle(events: list[Event]) -> None:
        take(batches, events)
        begun.set()
        assert go_on.wait(20)

    client.invoke_many("orders", "create", list("abc"))
    with running(client, drain=20):
        assert begun.wait(20)
        client.stop()
        threading.Timer(0.2, go_on.set).start()
    assert handled(batches) == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("batch", [None, 10])
def test_a_system_exit_gives_back_what_was_begun_and_is_no_failure(folder: Folder, batch: int | None) -> None:
    folder.memory(maxDeliveryCount=1, deadLetterBinding="letters")
    folder.memory("letters")

    def handle(_: object) -> None:
        raise SystemExit(3)

    with Client(folder.path) as client:
        if batch is None:
            client.binding("orders")(handle)
        else:
            client.binding("orders", batch=batch)(handle)
        client.invoke_many("orders", "create", list("ab"))
        with pytest.raises(SystemExit, match="3"):
            client.run()
    with Client(folder.path) as again:
        assert (rest(again), rest(again, "letters")) == (2, 0)
        with again.events("orders") as events:
            for expected in "ab":
                event = next(events)
                assert (event.text(), event.attempt) == (expected, 1)
                assert event.ack()


def most_at_once(client: Client, batch: int | None, events: int) -> tuple[int, int]:
    """Runs a slow handler until all are handled: the most of its calls at once, and its threads."""
    at_once, most = 0, 0
    threads: set[int] = set()
    lock = threading.Lock()

    def handle(_: object) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            threads.add(threading.get_ident())
        time.sleep(0.2)
        with lock:
            at_once -= 1

    if batch is None:
        client.binding("orders")(handle)
    else:
        client.binding("orders", batch=batch)(handle)
    client.invoke_many("orders", "create", ["x"] * events)
    names = {thread.name for thread in threading.enumerate()}
    with running(client):
        wait_until(lambda: rest(client) == 0)
        started = {thread.name for thread in threading.enumerate()} - names
    assert len([name for name in started if name.startswith("bindwright-orders-")]) >= len(threads)
    return most, len([name for name in started if name.startswith("bindwright-orders-")])


def test_threads_grow_while_batches_are_slow_and_partitions_wait(folder: Folder) -> None:
    folder.memory(partitions=4)
    with Client(folder.path) as client:
        most, threads = most_at_once(client, batch=1, events=24)
    assert 1 < most <= 4
    assert 1 < threads <= 4


@pytest.mark.parametrize("batch", [None, 1])
def test_threads_do_not_grow_beyond_what_may_be_in_flight(folder: Folder, batch: int | None) -> None:
    folder.memory(partitions=4, maxInFlight=1)
    with Client(folder.path) as client:
        assert most_at_once(client, batch, events=8) == (1, 1)
