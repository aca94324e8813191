"""Rows about receiving on an asyncio loop, event by event and many at once, beside aiokafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from bindwright import Event
from bindwright.aio import Client

from awaited import PEER
from harness import OURS, Figures, Row, take_turns
from plan import BINDING, Plan
from receiving import BATCH, COMMIT_SECONDS, PATIENCE_SECONDS, Counter, filled

_NOTE = (
    "The first {events:,} events of the topic, without joining the group. aiokafka: automatic commits off, a "
    "commit every second."
)


def one_by_one(plan: Plan) -> Row:
    note = f"An `async def` for each event, beside `async for`. {_note(plan)}"
    return _row(plan, "asyncio: events, one call for each", "async for", _handler, _iterate, note)


def batches(plan: Plan) -> Row:
    note = f"An `async def` for up to {BATCH:,} events, beside `getmany`. {_note(plan)}"
    return _row(plan, "asyncio: events, batches", "getmany", _batch_handler, _get_many, note)


def _note(plan: Plan) -> str:
    return _NOTE.format(events=plan.size.events_awaited)


def _row(
    plan: Plan,
    name: str,
    way: str,
    ours: Callable[[Client, Counter], None],
    theirs: Callable[[AIOKafkaConsumer, Counter], Awaitable[None]],
    note: str,
) -> Row:
    topic = filled(plan)
    peers = {
        OURS: lambda: asyncio.run(_run(plan, topic, ours)),
        f"{PEER} {way}": lambda: asyncio.run(_consume(plan, topic, theirs)),
    }
    rounds = take_turns(plan.size.event_rounds, peers)
    return Row(name, "/s", "rate", ("rate",), rounds, note=note)


async def _run(plan: Plan, topic: str, register: Callable[[Client, Counter], None]) -> Figures:
    counter = Counter(plan.size.events_awaited)
    client = Client(plan.broker.resources(topic))
    register(client, counter)
    await client.run()
    return counter.figures()


def _handler(client: Client, counter: Counter) -> None:
    @client.binding(BINDING)
    async def handle(event: Event) -> None:
        if event.data is not None and not counter.add(1):
            client.stop()


def _batch_handler(client: Client, counter: Counter) -> None:
    @client.binding(BINDING, batch=BATCH)
    async def handle(events: list[Event]) -> None:
        if not counter.add(sum(event.data is not None for event in events)):
            client.stop()


async def _consume(
    plan: Plan, topic: str, take: Callable[[AIOKafkaConsumer, Counter], Awaitable[None]]
) -> Figures:
    counter = Counter(plan.size.events_awaited)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=plan.broker.bootstrap,
        group_id=plan.broker.unique_group(),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await take(consumer, counter)
        await consumer.commit()
    return counter.figures()


async def _iterate(consumer: AIOKafkaConsumer, counter: Counter) -> None:
    next_commit = time.monotonic() + COMMIT_SECONDS
    async for message in consumer:
        if message.value is not None and not counter.add(1):
            return
        if counter.count % 64 == 0 and time.monotonic() >= next_commit:
            # Everything that was handed out has been handled.
            await consumer.commit()
            next_commit = time.monotonic() + COMMIT_SECONDS


async def _get_many(consumer: AIOKafkaConsumer, counter: Counter) -> None:
    next_commit = time.monotonic() + COMMIT_SECONDS
    while True:
        batches = await consumer.getmany(timeout_ms=100, max_records=BATCH)
        for messages in batches.values():
            if not counter.add(sum(message.value is not None for message in messages)):
                return
        if time.monotonic() >= next_commit:
            await consumer.commit()
            next_commit = time.monotonic() + COMMIT_SECONDS
