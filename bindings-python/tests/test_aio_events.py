"""Events on an asyncio loop: pulled, and with handlers; order, bounds, failures, the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from aio_loops import OnLoop, each_loop, wait_until
from bindwright import Client as BlockingClient
from bindwright import Emission, Event, Outcome
from bindwright.aio import Client
from bindwright.errors import ComponentNotFoundError, InvalidOptionsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Folder, Program

on_asyncio = OnLoop(asyncio.new_event_loop)


@each_loop
def test_events_are_pulled_and_settled(on_loop: OnLoop, folder: Folder) -> None:
    folder.kafka()

    async def main() -> None:
        async with Client(folder.path) as client:
            await client.invoke_many("orders", "create", list("abcd"), {"partitionKey": "k"})
            seen = []
            async with client.events("orders") as events:
                async for event in events:
                    seen.append((event.text(), event.attempt))
                    if event.text() == "b" and event.attempt == 1:
                        event.retry(0)
                    else:
                        event.ack()
                    if event.text() == "d":
                        break
            assert seen == [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("d", 1)]

    on_loop(main())


def test_what_was_pulled_and_not_settled_comes_again(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            await client.invoke_many("orders", "create", [b"a", b"b"])
            async with client.events("orders") as events:
                (await anext(events)).ack()
                await anext(events)
            async with client.events("orders") as events:
                again = await anext(events)
                assert (again.data, again.ack()) == (b"b", True)

    on_asyncio(main())


def test_tasks_share_an_iterator(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            events = client.events("orders")
            seen: list[str] = []
            workers = 0

            async def work() -> None:
                nonlocal workers
                workers += 1
                async for event in events:
                    seen.append(event.text())
                    event.ack()
                    await asyncio.sleep(0.001)

            tasks = [asyncio.create_task(work()) for _ in range(5)]
            await client.invoke_many("orders", "create", [str(number) for number in range(200)])
            await wait_until(lambda: len(seen) == 200)
            await events.close()
            await asyncio.gather(*tasks)
            assert sorted(map(int, seen)) == list(range(200))

    on_asyncio(main())


@each_loop
def test_closing_ends_whoever_waits_for_events(on_loop: OnLoop, folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        client = Client(folder.path)
        events = client.events("orders")
        waiting = asyncio.create_task(anext(events, None))
        await asyncio.sleep(0.05)
        await client.close()
        assert await waiting is None
        assert await anext(events, None) is None

    on_loop(main(), 10)


def test_cancelling_a_wait_loses_no_event(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client, client.events("orders") as events:
            for number in range(20):
                waiting = asyncio.create_task(anext(events))
                await asyncio.sleep(0)
                if number % 2:
                    waiting.cancel()
                    await asyncio.wait([waiting])
                await client.invoke_binding("orders", "create", str(number))
                event = await (anext(events) if waiting.cancelled() else waiting)
                assert (event.text(), event.attempt, event.ack()) == (str(number), 1, True)

    on_asyncio(main())


def test_a_binding_that_is_not_there_is_told(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            with pytest.raises(ComponentNotFoundError):
                await anext(client.events("missing"))
            client.binding("missing")(print)
            with pytest.raises(ComponentNotFoundError):
                await client.start()

    on_asyncio(main())


@each_loop
def test_async_handlers_settle_by_what_they_return(
    on_loop: OnLoop, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.kafka()
    seen: list[tuple[str, int]] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> object:
                await asyncio.sleep(0)
                seen.append((event.text(), event.attempt))
                if seen[-1] == ("b", 1):
                    raise ValueError("broken")
                return Outcome.retry(0) if seen[-1] == ("c", 1) else None

            await client.invoke_many("orders", "create", list("abcd"), {"partitionKey": "k"})
            with caplog.at_level(logging.ERROR, "bindwright"):
                await client.start()
                await wait_until(lambda: ("d", 1) in seen)
        async with Client(folder.path) as client:
            await client.invoke_binding("orders", "create", "e", {"partitionKey": "k"})
            async with client.events("orders") as events:
                assert (await anext(events)).text() == "e"

    on_loop(main())
    assert seen == [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("c", 2), ("d", 1)]
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "failed on delivery 1" in record.getMessage()


def test_partitions_run_in_parallel_as_many_as_may(folder: Folder) -> None:
    folder.memory(partitions=8, maxInFlight=3)
    running, most, handled = 0, 0, 0

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                nonlocal running, most, handled
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.01)
                running -= 1
                handled += 1

            for number in range(40):
                await client.invoke_binding("orders", "create", b"x", {"partitionKey": str(number)})
            await client.start()
            await wait_until(lambda: handled == 40)

    on_asyncio(main())
    assert most == 3


def test_events_of_a_partition_come_one_after_the_other(folder: Folder) -> None:
    folder.memory()
    seen: list[str] = []

    async def main() -> None:
        async with Client(folder.path) as client:
            running = 0

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                nonlocal running
                running += 1
                assert running == 1
                await asyncio.sleep(0.001)
                seen.append(event.text())
                running -= 1

            await client.invoke_many("orders", "create", [str(number) for number in range(100)])
            await client.start()
            await wait_until(lambda: len(seen) == 100)

    on_asyncio(main())
    assert seen == [str(number) for number in range(100)]


def test_handlers_that_never_wait_leave_the_loop_its_turns(folder: Folder) -> None:
    folder.memory()
    handled = 0

    async def main() -> int:
        turns = 0
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(_event: Event) -> None:
                nonlocal handled
                time.sleep(0.002)  # noqa: ASYNC251 - it holds the loop on purpose
                handled += 1

            await client.invoke_many("orders", "create", [b"x"] * 200)
            await client.start()
            while handled < 200:
                turns += 1
                await asyncio.sleep(0)
        return turns

    assert on_asyncio(main()) > 20


def test_outcomes_are_told_while_the_next_event_takes_long(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client, Client(folder.path) as other:
            slow = asyncio.Event()

            @client.binding("orders")
            async def on_order(event: Event) -> object:
                if event.text() == "slow":
                    await slow.wait()
                return Outcome.emit(Emission("sent", event.data))

            folder.memory("sent")
            await client.reload()
            await client.invoke_many("orders", "create", ["quick", "slow"])
            await client.start()
            async with other.events("sent") as sent:
                assert (await anext(sent)).text() == "quick"
            slow.set()

    on_asyncio(main())


def test_batches_have_an_outcome_for_each(folder: Folder) -> None:
    folder.memory()
    batches: list[list[tuple[str, int]]] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders", batch=3)
            async def on_orders(events: list[Event]) -> list[Outcome | None]:
                batches.append([(event.text(), event.attempt) for event in events])
                await asyncio.sleep(0)
                if len(batches) == 2:
                    raise ValueError("the whole batch")
                return [Outcome.retry(0) if seen == ("b", 1) else None for seen in batches[-1]]

            await client.invoke_many("orders", "create", list("abc"))
            await client.start()
            await wait_until(lambda: len(batches) == 3)

    on_asyncio(main())
    assert batches == [[("a", 1), ("b", 1), ("c", 1)], [("b", 2)], [("b", 3)]]


def test_a_plain_function_runs_in_a_thread(folder: Folder) -> None:
    folder.memory()
    threads: list[threading.Thread] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            def on_order(_event: Event) -> None:
                threads.append(threading.current_thread())

            await client.invoke_binding("orders", "create", b"x")
            await client.start()
            await wait_until(lambda: threads)

    on_asyncio(main())
    assert threads[0] is not threading.main_thread()


def test_context_variables_reach_handlers(folder: Folder) -> None:
    folder.memory()
    name = contextvars.ContextVar("name", default="nobody's")
    seen: list[str] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(_event: Event) -> None:
                seen.append(name.get())

            name.set("the starter's")
            await client.start()
            await client.invoke_binding("orders", "create", b"x")
            await wait_until(lambda: seen)

    on_asyncio(main())
    assert seen == ["the starter's"]


def test_what_is_no_handler_is_refused(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)

    def generator(_event: Event) -> Iterator[None]:
        yield

    with pytest.raises(InvalidOptionsError):
        client.binding("orders")(generator)
    with pytest.raises(InvalidOptionsError):
        client.binding("orders", batch=0)
    with pytest.raises(InvalidOptionsError):
        asyncio.run(client.run())
    client.binding("orders")(print)
    with pytest.raises(InvalidOptionsError):
        client.binding("orders")(print)
    asyncio.run(client.close())


def test_handlers_that_outlast_the_drain_are_cancelled(folder: Folder) -> None:
    folder.memory()
    ends: list[str] = []

    async def main() -> None:
        client = Client(folder.path)

        @client.binding("orders")
        async def on_order(_event: Event) -> None:
            ends.append("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        await client.invoke_binding("orders", "create", b"x")
        await client.start()
        await wait_until(lambda: ends)
        await client.close(0.1)
        assert ends == ["began", "cancelled"]
        async with Client(folder.path) as again, again.events("orders") as events:
            event = await anext(events)
            assert event.ack()

    on_asyncio(main(), 10)


def test_a_handlers_own_cancellation_is_a_failed_delivery(folder: Folder) -> None:
    folder.memory()
    seen: list[int] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                seen.append(event.attempt)
                if event.attempt == 1:
                    raise asyncio.CancelledError

            await client.invoke_binding("orders", "create", b"x")
            await client.start()
            await wait_until(lambda: len(seen) == 2)

    on_asyncio(main())
    assert seen == [1, 2]


def test_run_returns_when_told(folder: Folder) -> None:
    folder.memory()
    handled: list[str] = []

    async def main() -> None:
        client = Client(folder.path)

        @client.binding("orders")
        async def on_order(event: Event) -> None:
            handled.append(event.text())
            client.stop()

        await client.invoke_binding("orders", "create", b"x")
        await client.run()

    on_asyncio(main())
    assert handled == ["x"]
    with BlockingClient(folder.path) as client:
        assert client.transport == "embedded"


RUNNING = """
import asyncio, sys
from bindwright.aio import Client

async def main():
    client = Client(".")
    @client.binding("orders")
    async def on_order(event):
        print("began", flush=True)
        await asyncio.sleep(float(sys.argv[1]))
        print("handled", flush=True)
    await client.invoke_binding("orders", "create", b"x")
    await client.run(drain=30)
    print("drained", flush=True)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_drains(folder: Folder, program: Program, number: signal.Signals, loop: str) -> None:
    folder.memory()
    process = program(RUNNING, "0.3", loop)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (out.split(), process.returncode) == (["handled", "drained"], 0), errors


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_second_signal_ends_at_once(folder: Folder, program: Program, loop: str) -> None:
    folder.memory()
    process = program(RUNNING, "60", loop)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert "handled" not in out
    assert process.returncode == 128 + signal.SIGTERM, errors
