"""W3C trace context: from an event to the calls that its handler makes."""

from __future__ import annotations

import asyncio
import threading
from itertools import islice
from typing import TYPE_CHECKING

from bindwright import Client, Event, _tracing
from bindwright.aio import Client as AioClient
from conftest import wait_until

if TYPE_CHECKING:
    from conftest import Folder

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OWN = "00-11111111111111111111111111111111-2222222222222222-01"


def test_calls_in_a_handler_take_over_the_events_trace(folder: Folder) -> None:
    folder.kafka("orders")
    folder.kafka("audit")
    contexts: list[tuple[str | None, str | None]] = []
    with Client(folder.path) as client:

        @client.binding("orders")
        def on_order(event: Event) -> None:
            client.invoke_binding("audit", "create", "plain", {"partitionKey": "k"})
            client.invoke_binding("audit", "create", "own", {"partitionKey": "k", "traceparent": OWN})
            client.invoke_many("audit", "create", ["many"], {"partitionKey": "k"})
            contexts.append((event.traceparent, event.tracestate))

        for trace in ({"traceparent": PARENT, "tracestate": "vendor=1"}, {}, {"traceparent": "nonsense"}):
            client.invoke_binding("orders", "create", b"", {"partitionKey": "k", **trace})
        thread = threading.Thread(target=client.run)
        thread.start()
        wait_until(lambda: len(contexts) == 3)
        client.stop()
        thread.join(20)

    assert contexts == [(PARENT, "vendor=1"), (None, None), (None, None)]
    with Client(folder.path) as client, client.events("audit") as events:
        received = []
        for _ in range(9):
            event = next(events)
            event.ack()
            received.append(
                (event.text(), event.metadata.get("traceparent"), event.metadata.get("tracestate"))
            )
    first = [("plain", PARENT, "vendor=1"), ("own", OWN, None), ("many", PARENT, "vendor=1")]
    other = [("plain", None, None), ("own", OWN, None), ("many", None, None)]
    assert received == first + other + other


def test_every_task_has_a_trace_of_its_own(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("audit")
    with Client(folder.path) as client:
        own = [{"traceparent": PARENT, "tracestate": "vendor=1"}, {"traceparent": OWN}, None]
        client.invoke_many("orders", "create", ["a", "b", "c"], own)

        async def handle(event: Event) -> None:
            _tracing.enter(event)
            await asyncio.sleep(0)
            client.invoke_binding("audit", "create", event.text())

        async def handle_all(events: list[Event]) -> None:
            await asyncio.gather(*[handle(event) for event in events])

        with client.events("orders") as orders, client.events("audit") as audit:
            asyncio.run(handle_all([next(orders) for _ in range(3)]))
            received = {event.text(): (event.traceparent, event.tracestate) for event in islice(audit, 3)}
    assert received == {"a": (PARENT, "vendor=1"), "b": (OWN, None), "c": (None, None)}


def test_handlers_on_a_loop_go_along_with_their_events(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("audit")

    async def main() -> list[tuple[str, str | None]]:
        async with AioClient(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                await client.invoke_binding("audit", "create", event.text())

            own = [{"traceparent": PARENT}, None, {"traceparent": OWN}]
            await client.invoke_many("orders", "create", ["a", "b", "c"], own)
            await client.start()
            async with client.events("audit") as audit:
                events = [await anext(audit) for _ in range(3)]
        return [(event.text(), event.traceparent) for event in events]

    assert asyncio.run(main()) == [("a", PARENT), ("b", None), ("c", OWN)]
