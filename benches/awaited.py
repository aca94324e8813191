"""Rows about calls that are awaited on an asyncio loop, one at a time and many at once, beside aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import uvloop
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from bindwright.aio import Client

from crowd import crowd
from harness import OURS, Figures, Row, Target, take_turns
from in_core import librdkafka_at_once
from plan import BINDING, PAYLOAD, Plan

PEER = "aiokafka"

Send = Callable[[str | None], Awaitable[object]]
"""Sends one record, with a key where one is given, and returns when the broker has confirmed it."""

_NOTE = (
    "Tasks on one loop, each awaiting one call after the other. aiokafka: `send_and_wait` with "
    '`acks="all"`, all else as it comes: linger 0, no idempotence, one request per broker under way.'
)


def one_at_a_time(plan: Plan) -> Row:
    rounds = _rounds(plan, plan.size.calls, 1)
    return Row("asyncio, one at a time", "µs", "p50", ("p50", "p90", "p99"), rounds, note=_NOTE)


def at_once(plan: Plan, in_flight: int, *, target: Target, on_uvloop: bool = False) -> Row:
    rounds = _rounds(plan, plan.size.awaited, in_flight, on_uvloop=on_uvloop)
    name = f"asyncio, {in_flight:,} at once{', uvloop' if on_uvloop else ''}"
    return Row(name, "µs", "rate", ("rate", "p50", "p99"), rounds, target, note=_NOTE)


def keyed(plan: Plan, partitions: int, *, name: str, target: Target, limit_ms: float) -> Row:
    """64 at once with keys, beside librdkafka in Rust, too: the best that could be expected."""
    rounds = _rounds(plan, plan.size.awaited_keyed, 64, partitions=partitions, with_keys=True)
    limits = {"p50": Target("at most", limit_ms * 1000, "µs (p50)")}
    note = f"{_NOTE} Or librdkafka from Rust, without a bound on requests: whichever is better."
    return Row(name, "µs", "rate", ("rate", "p50", "p99"), rounds, target, limits, note)


def _rounds(
    plan: Plan,
    calls: int,
    in_flight: int,
    *,
    partitions: int = 3,
    with_keys: bool = False,
    on_uvloop: bool = False,
) -> dict[str, list[Figures]]:
    topic = plan.broker.create_topic(partitions)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if on_uvloop else None) as runner:

        def measured(send: Send) -> Figures:
            keyed = partial(_send_keyed, send) if with_keys else lambda _: send(None)
            return runner.run(crowd(keyed, calls, in_flight))

        opened = AsyncExitStack()
        senders = runner.run(_open(plan, topic, opened))
        peers = {peer: partial(measured, send) for peer, send in senders.items()}
        if with_keys:
            peers["librdkafka"] = partial(librdkafka_at_once, plan, topic, in_flight, calls)
        try:
            return take_turns(plan.size.rounds, peers)
        finally:
            runner.run(opened.aclose())


def _send_keyed(send: Send, number: int) -> Awaitable[object]:
    return send(f"key-{number}")


async def _open(plan: Plan, topic: str, opened: AsyncExitStack) -> dict[str, Send]:
    """Both ways to send, until `opened` is closed."""
    client = await opened.enter_async_context(Client(plan.broker.resources(topic)))
    producer = await opened.enter_async_context(
        AIOKafkaProducer(bootstrap_servers=plan.broker.bootstrap, acks="all")
    )

    def ours(key: str | None) -> Awaitable[object]:
        metadata = None if key is None else {"partitionKey": key}
        return client.invoke_binding(BINDING, "create", PAYLOAD, metadata)

    def theirs(key: str | None) -> Awaitable[object]:
        sent: Awaitable[object] = producer.send_and_wait(
            topic, PAYLOAD, None if key is None else key.encode()
        )
        return sent

    return {OURS: ours, PEER: theirs}
