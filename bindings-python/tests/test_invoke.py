"""Calls: what goes in, what comes back, and what a waiting call leaves alone."""

from __future__ import annotations

import array
import json
import threading
import time
from collections import UserDict
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, Event, Reply
from bindwright.errors import (
    BindingTimeoutError,
    BindwrightError,
    InvalidRequestError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    UnavailableError,
)
from conftest import wait_until

if TYPE_CHECKING:
    from conftest import Folder

EVERY_BYTE = bytes(range(256))


def receive(client: Client, count: int, name: str = "orders") -> list[Event]:
    """The next events of a binding."""
    with client.events(name) as events:
        received = []
        for event in events:
            event.ack()
            received.append(event)
            if len(received) == count:
                break
        return received


def round_trip(client: Client, *payloads: object) -> list[bytes | None]:
    """The data that arrives; in order, as all go to one partition."""
    for data in payloads:
        client.invoke_binding("orders", "create", data, {"partitionKey": "k"})
    return [event.data for event in receive(client, len(payloads))]


def test_a_reply_tells_where_the_record_went(client: Client) -> None:
    reply = client.invoke_binding("orders", "create", b"first", {"partitionKey": "1"})
    assert reply.data is None
    assert reply.text() == ""
    assert reply.json() is None
    assert reply.metadata["offset"] == "0"
    assert reply.metadata["partition"].isdigit()
    assert "offset" in repr(reply)


def test_bytes_arrive_verbatim(client: Client) -> None:
    payloads = [EVERY_BYTE, EVERY_BYTE * 1000, b""]
    assert round_trip(client, *payloads) == payloads


def test_anything_bytes_like_arrives_verbatim(client: Client) -> None:
    view = memoryview(EVERY_BYTE)
    payloads = [bytearray(EVERY_BYTE), view, view[::2], array.array("B", EVERY_BYTE)]
    assert round_trip(client, *payloads) == [bytes(data) for data in payloads]


def test_text_arrives_as_utf_8(client: Client) -> None:
    texts = ["", "grüße 🚀", "ß" * 5000]
    assert round_trip(client, *texts) == [text.encode() for text in texts]


def test_other_values_arrive_as_compact_json(client: Client) -> None:
    values: list[object] = [0, 1.5, True, False, [], {}, [None, "ü"], {"orderId": 1, "items": ["a", "b"]}]
    for value in values:
        client.invoke_binding("orders", "create", value, {"partitionKey": "k"})
    for value, event in zip(values, receive(client, len(values)), strict=True):
        assert event.data == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        assert event.json() == value


def test_none_is_no_data_and_left_out_is_empty_data(client: Client) -> None:
    client.invoke_binding("orders", "create", None, {"partitionKey": "k"})
    client.invoke_binding("orders", "create", metadata={"partitionKey": "k"})
    tombstone, empty = receive(client, 2)
    assert tombstone.data is None
    assert tombstone.json() is None
    assert tombstone.text() == ""
    assert empty.data == b""
    assert empty.text() == ""


def test_metadata_makes_the_round_trip(client: Client) -> None:
    for metadata in (
        {"partitionKey": "k1", "x": "ü"},
        MappingProxyType({"x": "proxy"}),
        UserDict({"x": "user"}),
    ):
        client.invoke_binding("orders", "create", b"", metadata)
    events = receive(client, 3)
    assert sorted(event.metadata["x"] for event in events) == ["proxy", "user", "ü"]
    [keyed] = [event for event in events if event.metadata["x"] == "ü"]
    assert keyed.metadata["__key"] == "k1"
    assert keyed.metadata["__offset"].isdigit()
    assert all(isinstance(value, str) for value in keyed.metadata.values())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (object(), "object"),
        ({"x": {1, 2}}, "dict"),
        (float("nan"), "float"),
        ("\ud800", "str"),
        ({"x": "\ud800"}, "dict"),
    ],
    ids=["object", "set inside", "nan", "surrogate", "surrogate inside"],
)
def test_what_cannot_be_sent_is_refused_by_its_type(client: Client, data: object, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"a value of type {text} cannot be sent") as caught:
        client.invoke_binding("orders", "create", data)
    assert (caught.value.component, caught.value.operation) == ("orders", "create")
    assert caught.value.retriable is False
    assert isinstance(caught.value.__cause__, TypeError | ValueError)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"a": 1}, "metadata: a: expected str, got int"),
        ({1: "a"}, "metadata: names are str, got int"),
        ([("a", "b")], "metadata: expected a mapping of str to str, got list"),
        ("a", "metadata: expected a mapping of str to str, got str"),
    ],
    ids=["value", "name", "list", "text"],
)
def test_metadata_that_is_no_text_is_refused(client: Client, metadata: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text):
        client.invoke_binding("orders", "create", b"", metadata)


@pytest.mark.parametrize("timeout", [10, 10.0, timedelta(seconds=10), float("inf")], ids=repr)
def test_a_timeout_is_seconds_or_a_timedelta(client: Client, timeout: float) -> None:
    client.invoke_binding("orders", "create", b"", timeout=timeout)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5"], ids=repr)
def test_a_timeout_that_makes_no_sense_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(InvalidRequestError, match="timeout: expected"):
        client.invoke_binding("orders", "create", b"", timeout=timeout)


def test_many_calls_have_their_results_in_order(client: Client) -> None:
    payloads = [b"fine", "x" * 2_000_000, {"n": 1}, object()]
    fine, large, value, unknown = client.invoke_many("orders", "create", payloads, {"partitionKey": "k"})
    assert isinstance(fine, Reply)
    assert isinstance(large, PayloadTooLargeError)
    assert isinstance(value, Reply)
    assert isinstance(unknown, InvalidRequestError)
    assert int(value.metadata["offset"]) == int(fine.metadata["offset"]) + 1
    assert [event.data for event in receive(client, 2)] == [b"fine", b'{"n":1}']


def test_many_calls_take_metadata_for_each(client: Client) -> None:
    replies = client.invoke_many("orders", "create", iter([b"a", b"b"]), [{"x": "1"}, None])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert {event.data: event.metadata.get("x") for event in receive(client, 2)} == {b"a": "1", b"b": None}


@pytest.mark.parametrize("payloads", [b"bytes", "text", {"a": 1}, 5], ids=repr)
def test_one_payload_is_not_many(client: Client, payloads: list[object]) -> None:
    with pytest.raises(InvalidRequestError, match="payloads: expected a sequence"):
        client.invoke_many("orders", "create", payloads)


def test_metadata_for_each_must_be_as_many(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="one entry for each of the 2 payloads, got 1"):
        client.invoke_many("orders", "create", [b"a", b"b"], [{}])


def test_no_payloads_give_no_results(client: Client) -> None:
    assert client.invoke_many("orders", "create", []) == []


def test_the_interpreter_is_free_while_a_call_waits(folder: Folder) -> None:
    folder.kafka("away", brokers="127.0.0.1:1")
    counted, running = 0, True

    def count() -> None:
        nonlocal counted
        while running:
            counted += 1
            time.sleep(0.001)

    with Client(folder.path) as client:
        thread = threading.Thread(target=count)
        thread.start()
        began = time.monotonic()
        with pytest.raises((BindingTimeoutError, UnavailableError)) as caught:
            client.invoke_binding("away", "create", b"", timeout=0.5)
        took = time.monotonic() - began
        running = False
        thread.join()
    assert caught.value.retriable is True
    assert 0.4 < took < 5
    assert counted > 20


def test_the_clients_own_timeout_counts_when_a_call_has_none(folder: Folder) -> None:
    folder.kafka("away", brokers="127.0.0.1:1")
    began = time.monotonic()
    with Client(folder.path, timeout=0.3) as client, pytest.raises((BindingTimeoutError, UnavailableError)):
        client.invoke_binding("away", "create", b"")
    assert time.monotonic() - began < 10


def test_threads_share_a_client(client: Client) -> None:
    replies: list[Reply] = []
    errors: list[BindwrightError] = []

    def send(thread: int) -> None:
        for number in range(50):
            try:
                replies.append(
                    client.invoke_binding("orders", "create", {"thread": thread, "number": number})
                )
            except (BindwrightError, OutcomeUnknownError) as error:
                errors.append(error)

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    assert errors == []
    places = {(reply.metadata["partition"], reply.metadata["offset"]) for reply in replies}
    assert len(places) == 8 * 50
