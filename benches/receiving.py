"""Rows about receiving: one Python call for each event, and many events at once, both at least once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from bindwright import Client, Event
from confluent_kafka import Consumer, Message

from harness import OURS, Figures, Row, Target, take_turns
from plan import BINDING, PAYLOAD, Plan
from sending import PEER, Outcomes, producer

COMMIT_SECONDS = 1.0
BATCH = 1_000
PATIENCE_SECONDS = 60.0

_NOTE = (
    "From the first event to the last, without joining the group. confluent-kafka: automatic commits off, an "
    "asynchronous commit every second."
)


def one_by_one(plan: Plan) -> Row:
    topic = filled(plan)
    peers = {OURS: partial(_handler, plan, topic), PEER: partial(_consume, plan, topic, _poll_one)}
    rounds = take_turns(plan.size.event_rounds, peers)
    name = f"events, one call for each of {plan.size.events:,}"
    return Row(name, "/s", "rate", ("rate",), rounds, Target("at least", 1.5), note=_NOTE)


def pulled(plan: Plan) -> Row:
    topic = filled(plan)
    peers = {OURS: partial(_pull, plan, topic), f"{PEER} consume": partial(_consume, plan, topic, _poll_many)}
    rounds = take_turns(plan.size.event_rounds, peers)
    note = f"`client.events()`, an `ack()` for each, beside `consume({BATCH})`. {_NOTE}"
    return Row("events, pulled", "/s", "rate", ("rate",), rounds, Target("at least", 1.3), note=note)


def filled(plan: Plan) -> str:
    """A topic of three partitions with all events in it."""
    count = plan.size.events
    if count not in plan.filled:
        topic = plan.broker.create_topic(3)
        outcomes = Outcomes()
        filler = producer(plan, linger_ms=5)
        for number in range(count):
            filler.produce(topic, PAYLOAD, partition=number % 3, on_delivery=outcomes)
            if number % 500 == 0:
                filler.poll(0)
        filler.flush()
        outcomes.expect(count)
        plan.filled[count] = topic
    return plan.filled[count]


class Counter:
    """Takes the time from the first event to the last."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self._began = 0.0
        self._ended = 0.0

    def add(self, events: int) -> bool:
        """Whether there are more to come."""
        if self.count >= self.expected:
            return False
        if self.count == 0:
            self._began = time.perf_counter()
        self.count += events
        if self.count >= self.expected:
            self._ended = time.perf_counter()
        return self.count < self.expected

    def figures(self) -> Figures:
        if self.count < self.expected:
            raise RuntimeError(f"only {self.count} of {self.expected} events came")
        return {"rate": self.count / (self._ended - self._began)}


def _handler(plan: Plan, topic: str) -> Figures:
    counter = Counter(plan.size.events)
    with Client(plan.broker.resources(topic)) as client:

        @client.binding(BINDING)
        def handle(event: Event) -> None:
            if event.data is not None and not counter.add(1):
                client.stop()

        client.run()
    return counter.figures()


def _pull(plan: Plan, topic: str) -> Figures:
    counter = Counter(plan.size.events)
    with Client(plan.broker.resources(topic)) as client, client.events(BINDING) as events:
        for event in events:
            more = event.data is None or counter.add(1)
            event.ack()
            if not more:
                break
    return counter.figures()


def _poll_one(consumer: Consumer, counter: Counter) -> bool:
    message = consumer.poll(0.1)
    return message is None or counter.add(_counts(message))


def _poll_many(consumer: Consumer, counter: Counter) -> bool:
    messages = consumer.consume(BATCH, 0.1)
    return not messages or counter.add(sum(map(_counts, messages)))


def _counts(message: Message) -> int:
    if message.error() is not None:
        raise RuntimeError(str(message.error()))
    return int(message.value() is not None)


def _consume(plan: Plan, topic: str, step: Callable[[Consumer, Counter], bool]) -> Figures:
    counter = Counter(plan.size.events)
    consumer = Consumer(
        {
            "bootstrap.servers": plan.broker.bootstrap,
            "group.id": plan.broker.unique_group(),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + PATIENCE_SECONDS
        next_commit = time.monotonic() + COMMIT_SECONDS
        more, turns = True, 0
        while more and time.monotonic() < deadline:
            more = step(consumer, counter)
            turns += 1
            if turns % 64 == 0 and counter.count and time.monotonic() >= next_commit:
                # Everything that was handed out has been handled.
                consumer.commit(asynchronous=True)
                next_commit = time.monotonic() + COMMIT_SECONDS
        if counter.count:
            consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return counter.figures()
