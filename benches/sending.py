"""Rows about sending: one at a time, in bulk, and many threads at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bindwright import BindwrightError, Client
from confluent_kafka import KafkaError, Message, Producer

from harness import OURS, Figures, Row, Target, one_by_one, percentiles, take_turns
from plan import BINDING, PAYLOAD, Plan

IN_FLIGHT = 64
PEER = "confluent-kafka"


def producer(plan: Plan, linger_ms: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": plan.broker.bootstrap,
            "acks": "all",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 2_000_000,
        }
    )


class Outcomes:
    """Counts what delivery callbacks say."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1

    def expect(self, count: int) -> None:
        if self.delivered != count or self.failed:
            raise RuntimeError(f"confluent-kafka delivered {self.delivered} of {count} records")


def one_at_a_time(plan: Plan) -> Row:
    topic = plan.broker.create_topic(3)
    theirs = producer(plan, linger_ms=0)
    with Client(plan.broker.resources(topic)) as client:

        def ours() -> Figures:
            return one_by_one(plan.size.calls, lambda: client.invoke_binding(BINDING, "create", PAYLOAD))

        def send_and_flush() -> None:
            theirs.produce(topic, PAYLOAD)
            theirs.flush()

        rounds = take_turns(
            plan.size.rounds, {OURS: ours, PEER: lambda: one_by_one(plan.size.calls, send_and_flush)}
        )
    return Row("one at a time", "µs", "p50", ("p50", "p90", "p99"), rounds, Target("at most", 1.10))


def bulk(plan: Plan) -> Row:
    count = plan.size.bulk
    rounds = _bulk_rounds(plan, count, count)
    return Row(
        f"bulk, {count:,} in one call", "/s", "rate", ("rate",), rounds, Target("at least", 1.2), note=_BULK
    )


def bulk_lists(plan: Plan) -> Row:
    length = plan.size.list_length
    rounds = _bulk_rounds(plan, plan.size.bulk, length)
    note = "Each list is confirmed before the next one is sent: confluent-kafka flushes after it."
    return Row(
        f"bulk, lists of {length:,}", "/s", "rate", ("rate",), rounds, Target("at least", 1.2), note=note
    )


_BULK = (
    "confluent-kafka: `produce` with a delivery callback that counts, `poll(0)` every 500 records, `flush` "
    "at the end; the better of linger 0 and 5 ms."
)


def _bulk_rounds(plan: Plan, count: int, length: int) -> dict[str, list[Figures]]:
    topic = plan.broker.create_topic(3)
    with Client(plan.broker.resources(topic)) as client:
        peers = {OURS: partial(_invoke_many, client, count, length)}
        for linger_ms in (0, 5):
            theirs = producer(plan, linger_ms)
            peers[f"{PEER} (linger {linger_ms})"] = partial(_produce, theirs, topic, count, length)
        return take_turns(plan.size.rounds, peers)


def _invoke_many(client: Client, count: int, length: int) -> Figures:
    payloads = [PAYLOAD] * length
    failed = 0
    began = time.perf_counter()
    for _ in range(count // length):
        replies = client.invoke_many(BINDING, "create", payloads)
        failed += sum(isinstance(reply, BindwrightError) for reply in replies)
    took = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"{failed} of {count} records failed")
    return {"rate": count / took}


def _produce(theirs: Producer, topic: str, count: int, length: int) -> Figures:
    outcomes = Outcomes()
    produce, poll = theirs.produce, theirs.poll
    began = time.perf_counter()
    for _ in range(count // length):
        for number in range(length):
            produce(topic, PAYLOAD, on_delivery=outcomes)
            if number % 500 == 0:
                poll(0)
        theirs.flush()
    took = time.perf_counter() - began
    outcomes.expect(count)
    return {"rate": count / took}


def threads(
    plan: Plan, partitions: int, *, keyed: bool, name: str, target: Target, limit_ms: float | None
) -> Row:
    """Blocking calls from 64 threads, beside 64 records under way without a bound on requests."""
    topic = plan.broker.create_topic(partitions)
    theirs = producer(plan, linger_ms=0)
    count = plan.size.keyed
    with Client(plan.broker.resources(topic)) as client:
        rounds = take_turns(
            plan.size.rounds,
            {
                OURS: partial(_from_threads, client, count, keyed),
                PEER: partial(_with_window, theirs, topic, count, keyed),
            },
        )
    limits = {} if limit_ms is None else {"p50": Target("at most", limit_ms * 1000, "µs (p50)")}
    return Row(name, "µs", "rate", ("rate", "p50", "p99"), rounds, target, limits, _THREADS)


_THREADS = (
    "64 Python threads share one interpreter; confluent-kafka keeps 64 records under way from one thread, "
    "with a callback for each."
)


def _from_threads(client: Client, count: int, keyed: bool) -> Figures:
    share = count // IN_FLIGHT

    def work(thread: int) -> list[float]:
        seconds = []
        for number in range(share):
            metadata = {"partitionKey": f"key-{thread * share + number}"} if keyed else None
            began = time.perf_counter()
            client.invoke_binding(BINDING, "create", PAYLOAD, metadata)
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        began = time.perf_counter()
        seconds = [second for part in pool.map(work, range(IN_FLIGHT)) for second in part]
        took = time.perf_counter() - began
    return {"rate": len(seconds) / took} | percentiles(seconds)


def _with_window(theirs: Producer, topic: str, count: int, keyed: bool) -> Figures:
    seconds: list[float] = []
    outcomes = Outcomes()

    def delivered(began: float, error: KafkaError | None, message: Message) -> None:
        seconds.append(time.perf_counter() - began)
        outcomes(error, message)

    start = time.perf_counter()
    for number in range(count):
        while number - len(seconds) >= IN_FLIGHT:
            theirs.poll(0.1)
        key = f"key-{number}" if keyed else None
        theirs.produce(topic, PAYLOAD, key, on_delivery=partial(delivered, time.perf_counter()))
    theirs.flush()
    took = time.perf_counter() - start
    outcomes.expect(count)
    return {"rate": count / took} | percentiles(seconds)
