"""Programs that pull their events: settle, close, order."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, Event
from bindwright.errors import InvalidRequestError
from conftest import wait_until

if TYPE_CHECKING:
    from conftest import Folder


def send(client: Client, *payloads: object) -> None:
    """To one partition, so that they have an order."""
    client.invoke_many("orders", "create", payloads, {"partitionKey": "k"})


def test_an_acked_event_does_not_come_again(client: Client, folder: Folder) -> None:
    send(client, b"1", b"2")
    with client.events("orders") as events:
        first = next(events)
        assert (first.data, first.attempt, first.binding) == (b"1", 1, "orders")
        assert repr(first) == '<Event of "orders", attempt 1, 1 bytes>'
        assert first.ack()
        assert not first.ack()
        assert not first.retry()
    client.close()
    with Client(folder.path) as again, again.events("orders") as events:
        event = next(events)
        assert (event.data, event.attempt) == (b"2", 1)
        assert event.drop()


def test_a_retried_event_comes_again_before_its_followers(client: Client) -> None:
    send(client, b"1", b"2", b"3")
    with client.events("orders") as events:
        first, second = next(events), next(events)
        began = time.monotonic()
        assert first.retry(after=0.2)
        assert not second.ack(), "taken back together with the first one"
        again = [next(events) for _ in range(3)]
        assert time.monotonic() - began >= 0.2
        assert [(event.data, event.attempt) for event in again] == [(b"1", 2), (b"2", 1), (b"3", 1)]
        assert all(event.ack() for event in again)


def test_a_pause_that_makes_no_sense_is_refused(client: Client) -> None:
    send(client, b"1")
    with client.events("orders") as events:
        event = next(events)
        with pytest.raises(InvalidRequestError, match="after: expected"):
            event.retry(after=-1)
        assert event.ack()


@pytest.mark.parametrize("what", ["client", "events"])
def test_closing_ends_the_iteration(client: Client, what: str) -> None:
    send(client, b"1")
    events = client.events("orders")
    seen: list[Event] = []
    thread = threading.Thread(target=lambda: seen.extend(event for event in events if event.ack()))
    thread.start()
    wait_until(lambda: seen or not thread.is_alive())
    began = time.monotonic()
    if what == "client":
        client.close()
    else:
        events.close()
        events.close()
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - began < 5
    assert list(events) == []
    assert [event.data for event in seen] == [b"1"]


def test_events_that_nobody_holds_do_not_keep_the_client_open(client: Client) -> None:
    send(client, *[b"x"] * 100)
    events = client.events("orders")
    for _ in range(3):
        next(events)
    began = time.monotonic()
    client.close(drain=30)
    assert time.monotonic() - began < 10


def test_the_client_waits_for_an_event_that_is_held(client: Client) -> None:
    send(client, b"1")
    events = client.events("orders")
    event = next(events)
    began = time.monotonic()
    timer = threading.Timer(0.3, event.ack)
    timer.start()
    client.close(drain=30)
    assert 0.25 < time.monotonic() - began < 10
    timer.join()


def test_an_iterator_that_is_dropped_leaves(client: Client, folder: Folder) -> None:
    send(client, b"1")
    events = client.events("orders")
    assert next(events).data == b"1"
    del events
    # The partition goes to the next member of the group, and what was not acked comes again.
    with Client(folder.path, app_id="another") as other, other.events("orders") as again:
        event = next(again)
        assert event.data == b"1"
        assert event.ack()


def test_data_can_be_read_where_it_is(client: Client) -> None:
    sent = bytes(range(256)) * 1000
    client.invoke_many("orders", "create", [sent, None])
    with client.events("orders") as events:
        event, tombstone = next(events), next(events)
        view = memoryview(event)
        assert (view.readonly, view.nbytes, view == sent) == (True, len(sent), True)
        with pytest.raises(BufferError, match="there is no data"):
            memoryview(tombstone)
        # What has a buffer is sent verbatim, and so is an event.
        client.invoke_binding("orders", "create", event)
        event.ack()
        del event
        assert view[-1] == 255, "the view keeps what it shows"
        tombstone.ack()
        assert next(events).data == sent
