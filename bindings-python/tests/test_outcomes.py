"""Dead letters and emissions: what an outcome is, and what becomes of the event."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from bindwright import Client, Emission, Event, Ledger, Outcome
from bindwright.errors import EventBlockedError, InvalidRequestError
from conftest import Seen, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def next_event(client: Client, name: str) -> Event:
    """The next event of a binding; acked."""
    with client.events(name) as events:
        event = next(events)
        event.ack()
        return event


def rest(client: Client, name: str) -> int:
    """How many messages of a queue are not settled."""
    return cast("int", client.invoke_binding(name, "size").json())


@pytest.fixture
def letters(folder: Folder) -> Client:
    """A client whose `orders` become dead letters in `letters` after two deliveries; with `invoices`."""
    folder.memory("orders", deadLetterBinding="letters", maxDeliveryCount=2)
    folder.memory("letters")
    folder.memory("invoices")
    return Client(folder.path)


def test_outcomes_are_values() -> None:
    first, second = Emission("a", b"1"), Emission("a", b"2")
    outcomes = [
        Outcome.ACK,
        Outcome.DROP,
        Outcome.RETRY,
        Outcome.DEAD_LETTER,
        Outcome.retry(1.5),
        Outcome.dead_letter("bad"),
        Outcome.dead_letter(ValueError("bad")),
        Outcome.emit(first),
        Outcome.emit(second),
        Outcome.emit(first, second),
    ]
    assert len(set(outcomes)) == len(outcomes)
    equal = {
        Outcome.retry(): Outcome.RETRY,
        Outcome.dead_letter(): Outcome.DEAD_LETTER,
        Outcome.dead_letter(None): Outcome.DEAD_LETTER,
        Outcome.dead_letter(ValueError("x")): Outcome.dead_letter(ValueError("x")),
        Outcome.emit(first, second): Outcome.emit(Emission("a", "1"), Emission("a", "2")),
    }
    for one, other in equal.items():
        assert one == other
        assert hash(one) == hash(other)


def test_a_repr_shows_no_data() -> None:
    emission = Emission("invoices", "secret", operation="put", metadata={"token": "secret"})
    assert repr(emission) == '<Emission to "invoices", put, 6 bytes>'
    assert repr(Outcome.emit(emission, Emission("x", None))) == (
        'Outcome.emit(<Emission to "invoices", put, 6 bytes>, <Emission to "x", create, no data>)'
    )
    assert repr(Outcome.dead_letter(ValueError("secret"))) == "Outcome.dead_letter(<ValueError>)"
    assert repr(Outcome.DEAD_LETTER) == "Outcome.DEAD_LETTER"


def test_an_emission_takes_data_like_a_call() -> None:
    data = [
        (b"\xff", b"\xff"),
        ("ü", "ü".encode()),
        ({"a": 1}, b'{"a":1}'),
        (None, None),
        (bytearray(b"b"), b"b"),
    ]
    for given, sent in data:
        assert Emission("x", given).data == sent
    plain = Emission("x")
    assert (plain.binding, plain.data, plain.operation, plain.metadata) == ("x", b"", "create", {})
    assert Emission("x", metadata={"k": "v"}) == Emission("x", b"", "create", {"k": "v"})
    assert Emission("x", metadata={"k": "v"}) != plain


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Emission("invoices", object()), "JSON"),
        (lambda: Emission("invoices", b"", "put", cast("dict[str, str]", {"k": 1})), "metadata"),
        (lambda: Outcome.emit(cast("Emission", {"binding": "x"})), "expected an Emission, got dict"),
        (lambda: Outcome.dead_letter(cast("str", 5)), "cause: expected an exception or a str, got int"),
        (lambda: Outcome.retry(-1), "after: expected"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text):
        make()


def test_a_handler_that_keeps_raising_makes_a_dead_letter_that_tells_why(letters: Client) -> None:
    handler = Seen({("a", 1): KeyError("first"), ("a", 2): ValueError("x" * 2000)})
    letters.binding("orders")(handler)
    letters.invoke_binding("orders", "create", "a", {"colour": "green"})
    letters.invoke_binding("orders", "create", "b")
    with running(letters):
        wait_until(lambda: ("b", 1) in handler.seen)
        letter = next_event(letters, "letters")
    assert handler.seen == [("a", 1), ("a", 2), ("b", 1)]
    assert letter.text() == "a"
    told = letter.metadata
    assert (told["colour"], told["deadLetterSource"], told["deadLetterAttempts"]) == ("green", "orders", "2")
    assert told["deadLetterCode"] == "ValueError"
    assert told["deadLetterCause"] == "x" * 1000 + "…"
    assert int(told["deadLetterFirstTime"]) <= int(told["deadLetterLastTime"])


class Unprintable(Exception):  # noqa: N818 -- the name is what is tested
    """Whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("cause", "code", "text"),
    [
        (None, None, None),
        ("no such customer", "REJECTED", "no such customer"),
        (KeyError("customer"), "KeyError", "'customer'"),
        (Unprintable(), "Unprintable", ""),
        (SystemExit(3), "SystemExit", "3"),
    ],
    ids=repr,
)
def test_an_event_is_given_up_for_a_reason(
    letters: Client, cause: BaseException | str | None, code: str | None, text: str | None
) -> None:
    letters.binding("orders")(lambda event: Outcome.dead_letter(cause))
    letters.invoke_binding("orders", "create", "a")
    with running(letters):
        letter = next_event(letters, "letters")
        wait_until(lambda: rest(letters, "orders") == 0)
    assert (letter.metadata.get("deadLetterCode"), letter.metadata.get("deadLetterCause")) == (code, text)
    assert letter.metadata["deadLetterAttempts"] == "1"


def test_one_of_our_errors_is_told_by_its_code(letters: Client) -> None:
    letters.binding("orders")(lambda event: letters.invoke_binding("nobody", "create"))
    letters.invoke_binding("orders", "create", "a")
    with running(letters):
        letter = next_event(letters, "letters")
    assert letter.metadata["deadLetterCode"] == "COMPONENT_NOT_FOUND"
    assert "nobody" in letter.metadata["deadLetterCause"]


def test_what_a_handler_emits_is_sent_in_order_with_the_trace_and_then_the_event_is_settled(
    letters: Client,
) -> None:
    def handle(event: Event) -> Outcome:
        first = Emission("invoices", {"order": event.text()}, metadata={"colour": "green"})
        return Outcome.emit(first, Emission("invoices", "second"))

    letters.binding("orders")(handle)
    letters.invoke_binding("orders", "create", "a", {"traceparent": PARENT})
    with running(letters), letters.events("invoices") as invoices:
        first, second = next(invoices), next(invoices)
        wait_until(lambda: rest(letters, "orders") == 0)
        assert first.ack()
        assert second.ack()
    assert (first.text(), first.metadata["colour"], first.traceparent) == ('{"order":"a"}', "green", PARENT)
    assert second.text() == "second"


def test_an_emission_that_fails_is_a_failed_delivery(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("invoices", failures="UNAVAILABLE, ok")
    attempts: list[int] = []
    with Client(folder.path) as client:

        @client.binding("orders")
        def handle(event: Event) -> Outcome:
            attempts.append(event.attempt)
            return Outcome.emit(Emission("invoices", "x"))

        client.invoke_binding("orders", "create", "a")
        with running(client):
            assert next_event(client, "invoices").text() == "x"
            wait_until(lambda: rest(client, "orders") == 0)
    assert attempts == [1, 2]


def test_pulled_events_can_be_given_up_and_followed_up(letters: Client) -> None:
    with letters, letters.events("orders") as orders:
        letters.invoke_many("orders", "create", ["a", "b"])
        first = next(orders)
        assert first.dead_letter(ValueError("bad"))
        assert not first.emit(Emission("invoices", "x"))
        letter = next_event(letters, "letters")
        assert (letter.text(), letter.metadata["deadLetterCode"]) == ("a", "ValueError")
        second = next(orders)
        with pytest.raises(InvalidRequestError):
            second.emit(cast("Emission", "x"))
        with pytest.raises(InvalidRequestError):
            second.dead_letter(cast("str", 5))
        assert second.emit(Emission("invoices", second.data), Emission("invoices", "more"))
        assert not second.dead_letter()
        assert next_event(letters, "invoices").text() == "b"
        wait_until(lambda: rest(letters, "orders") == 0)


def test_without_a_dead_letter_binding_the_event_holds_its_place_visibly(folder: Folder) -> None:
    folder.memory("orders", maxDeliveryCount=2)
    gone_wrong = threading.Event()
    with Client(folder.path) as client:

        @client.binding("orders")
        def handle(event: Event) -> None:
            if event.attempt == 2:
                gone_wrong.set()
            raise ValueError("on purpose")

        client.invoke_many("orders", "create", ["a", "b"])
        with running(client, drain=1):
            assert gone_wrong.wait(20)
            wait_until(lambda: client.components()[0].state == "degraded")
            [orders] = client.components()
            assert isinstance(orders.error, EventBlockedError)
            assert orders.error.backend == "ValueError: on purpose"
            assert rest(client, "orders") == 2


def test_components_tell_how_often_events_are_delivered(folder: Folder) -> None:
    folder.memory("endless")
    folder.memory("limited", maxDeliveryCount=3, retryPause="2s")
    folder.memory("sender", direction="output")
    with Client(folder.path) as client:
        components = client.components()
    told = {component.name: component.redelivery for component in components}
    retries = {component.name: component.retries for component in components}
    assert told["endless"] == Ledger(attempts=None, longest=None, pauses=None)
    assert told["limited"] == Ledger(attempts=3, longest=None, pauses=4.0)
    assert told["sender"] is None
    assert retries["sender"] == Ledger(attempts=1, longest=None, pauses=0.0)
