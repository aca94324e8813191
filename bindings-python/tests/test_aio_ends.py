"""How handlers on an asyncio loop end: draining, cancelling, signals, loops that go away."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from aio_loops import OnLoop, WatchesNothing, each_loop, wait_until
from bindwright.aio import Client
from bindwright.errors import InvalidOptionsError

if TYPE_CHECKING:
    from bindwright import Event
    from conftest import Folder, Program

on_asyncio = OnLoop(asyncio.new_event_loop)


async def left_over(folder: Folder, count: int) -> list[str]:
    """What is still in the queue, as another client gets it: so many events and no more."""
    async with Client(folder.path) as client:
        await client.invoke_binding("orders", "create", "the last")
        left: list[str] = []
        async with client.events("orders") as events:
            while len(left) <= count:
                event = await anext(events)
                event.ack()
                left.append(event.text())
    left.remove("the last")
    return left


@pytest.mark.parametrize("batch", [None, 1])
def test_closing_waits_for_running_handlers_only(folder: Folder, batch: int | None) -> None:
    folder.memory()
    handled: list[str] = []

    async def main() -> list[str]:
        client = Client(folder.path)
        began = asyncio.Event()

        async def handle(event: Event) -> None:
            began.set()
            await asyncio.sleep(0.2)
            handled.append(event.text())

        async def handle_all(events: list[Event]) -> None:
            await handle(events[0])

        if batch is None:
            client.binding("orders")(handle)
        else:
            client.binding("orders", batch=batch)(handle_all)
        await client.invoke_many("orders", "create", ["a", "b", "c"])
        await client.start()
        await began.wait()
        before = time.monotonic()
        await client.close(20)
        assert time.monotonic() - before < 10, "it waited for events that no handler had"
        return await left_over(folder, 2)

    assert on_asyncio(main()) == ["b", "c"]
    assert handled == ["a"]


def test_closing_right_after_starting_gives_everything_back(folder: Folder) -> None:
    folder.memory(partitions=4)

    async def main() -> list[str]:
        client = Client(folder.path)
        client.binding("orders")(print)
        client.binding("orders-2", batch=2)(print)
        folder.memory("orders-2")
        await client.reload()
        for number in range(20):
            await client.invoke_binding("orders", "create", str(number), {"partitionKey": str(number)})
        await client.start()
        await asyncio.sleep(0)
        before = time.monotonic()
        await client.close(20)
        assert time.monotonic() - before < 10
        return []

    on_asyncio(main())


def test_a_handler_that_ends_the_program_lets_the_others_finish(folder: Folder) -> None:
    folder.memory(partitions=8)
    ends: list[str] = []

    async def main() -> None:
        client = Client(folder.path)
        running = asyncio.Event()

        @client.binding("orders")
        async def on_order(event: Event) -> None:
            if event.text() == "exit":
                await running.wait()
                raise SystemExit(3)
            running.set()
            await asyncio.sleep(0.2)
            ends.append(event.text())

        for data, key in (("slow", "a"), ("exit", "b")):
            await client.invoke_binding("orders", "create", data, {"partitionKey": key})
        before = time.monotonic()
        with pytest.raises(SystemExit) as raised:
            await client.run(drain=20)
        assert raised.value.code == 3
        assert time.monotonic() - before < 10
        # Nobody says that the event is to blame.
        assert await left_over(folder, 1) == ["exit"]

    on_asyncio(main())
    assert ends == ["slow"]


def test_what_ends_started_handlers_is_logged_and_raised_by_close(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.memory()

    class Stop(BaseException):
        pass

    async def main() -> None:
        client = Client(folder.path)

        @client.binding("orders")
        async def on_order(_event: Event) -> None:
            raise Stop

        await client.invoke_many("orders", "create", ["a", "b"])
        with caplog.at_level(logging.ERROR, "bindwright"):
            await client.start()
            await wait_until(lambda: "ended all handlers" in caplog.text)
        with pytest.raises(Stop):
            await client.close()
        await client.close()

    on_asyncio(main())


def test_a_plain_function_may_raise_anything(folder: Folder) -> None:
    folder.memory()
    attempts: list[int] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            def on_order(event: Event) -> None:
                attempts.append(event.attempt)
                if event.attempt == 1:
                    next(iter(()))

            await client.invoke_binding("orders", "create", b"x")
            await client.start()
            await wait_until(lambda: len(attempts) == 2)

    on_asyncio(main())
    assert attempts == [1, 2]


def test_plain_functions_take_no_more_than_there_are_threads(folder: Folder) -> None:
    folder.memory(partitions=60)
    running, most, handled, lock = 0, 0, 0, threading.Lock()

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            def on_order(_event: Event) -> None:
                nonlocal running, most, handled
                with lock:
                    running += 1
                    most = max(most, running)
                time.sleep(0.01)
                with lock:
                    running -= 1
                    handled += 1

            for number in range(100):
                await client.invoke_binding("orders", "create", b"x", {"partitionKey": str(number)})
            await client.start()
            await wait_until(lambda: handled == 100)

    on_asyncio(main())
    assert 1 < most <= 16


def test_closing_in_a_handler_is_refused(folder: Folder) -> None:
    folder.memory()
    refused: list[str] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(_event: Event) -> None:
                try:
                    await client.close()
                except InvalidOptionsError as error:
                    refused.append(str(error))

            await client.invoke_binding("orders", "create", b"x")
            await client.start()
            await wait_until(lambda: refused)

    on_asyncio(main())
    assert "would wait for that handler" in refused[0]


def test_handlers_can_be_closed_and_begun_again_on_another_loop(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)
    seen: list[str] = []

    @client.binding("orders")
    async def on_order(event: Event) -> None:
        seen.append(event.text())

    async def start(data: str) -> None:
        await client.start()
        await client.invoke_binding("orders", "create", data)
        await wait_until(lambda: data in seen)

    asyncio.run(start("a"))
    asyncio.run(start("b"))
    asyncio.run(client.close())
    assert seen == ["a", "b"]


def test_handlers_of_another_threads_loop_are_ended_there(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)
    ends: list[str] = []

    @client.binding("orders")
    async def on_order(_event: Event) -> None:
        try:
            ends.append("began")
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append(threading.current_thread().name)
            raise

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="theirs")
    thread.start()
    asyncio.run_coroutine_threadsafe(client.start(), loop).result(10)
    asyncio.run(client.invoke_binding("orders", "create", b"x"))
    asyncio.run(wait_until(lambda: ends))
    asyncio.run(client.close(0.1))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    assert ends == ["began", "theirs"]


def test_a_loop_that_was_closed_with_calls_out_is_freed(folder: Folder) -> None:
    folder.memory(delay="60s")
    client = Client(folder.path)
    loop = asyncio.new_event_loop()
    call = loop.create_task(client.invoke_binding("orders", "create", b"x"))
    loop.run_until_complete(asyncio.sleep(0))
    call._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    gone = weakref.ref(loop)
    del loop, call
    before = time.monotonic()
    # Nor does closing wait for a call that nobody polls.
    asyncio.run(client.close(20))
    assert time.monotonic() - before < 10
    del client
    gc.collect()
    assert gone() is None


def test_a_loop_that_watches_nothing_serves_tasks_that_clean_up(folder: Folder) -> None:
    folder.memory(delay="20ms")
    ends: list[str] = []

    async def main() -> None:
        client = Client(folder.path)

        async def background() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                await client.invoke_binding("orders", "create", b"x")
                ends.append("cleaned up")

        asyncio.get_running_loop().task = asyncio.create_task(background())  # type: ignore[attr-defined]
        await client.invoke_binding("orders", "create", b"x")

    OnLoop(WatchesNothing)(main(), 10)
    assert ends == ["cleaned up"]


def test_an_iterator_that_went_away_leaves_its_events(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            await client.invoke_many("orders", "create", ["a", "b"])
            async for event in client.events("orders"):
                event.ack()
                break
            async with asyncio.timeout(10):
                assert (await anext(client.events("orders"))).text() == "b"
            assert event.text() == "a", "and it was there all the time"

    on_asyncio(main())


def test_an_event_dropped_while_closing_is_given_back(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        client = Client(folder.path)
        await client.invoke_binding("orders", "create", b"x")
        events = client.events("orders")
        event = await anext(events)
        closing = asyncio.create_task(client.close(20))
        await asyncio.sleep(0.05)
        assert not closing.done()
        del event
        async with asyncio.timeout(10):
            await closing

    on_asyncio(main())


@each_loop
def test_what_a_handler_sets_is_not_for_the_next_event(on_loop: OnLoop, folder: Folder) -> None:
    folder.memory()
    tenant = contextvars.ContextVar("tenant", default="nobody's")
    seen: list[tuple[str, str]] = []

    async def main() -> None:
        async with Client(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                seen.append((event.text(), tenant.get()))
                tenant.set(event.text())
                await asyncio.sleep(0)

            await client.invoke_many("orders", "create", ["a", "b", "c"])
            await client.start()
            await wait_until(lambda: len(seen) == 3)

    on_loop(main())
    assert seen == [(text, "nobody's") for text in "abc"]


def test_a_drain_that_is_no_time_is_refused_before_anything_begins(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            client.binding("orders")(print)
            with pytest.raises(InvalidOptionsError, match="drain"):
                await client.run(drain=-1)
            assert (await client.components())[0].state == "idle"

    on_asyncio(main())


def test_signals_are_shared_and_given_back(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("others")
    heard: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, heard.append, "the program's own")
        own = signal.getsignal(signal.SIGTERM)
        clients = [Client(folder.path), Client(folder.path)]
        for client, name in zip(clients, ("orders", "others"), strict=True):
            client.binding(name)(print)
        runs = asyncio.gather(*[client.run() for client in clients])
        await wait_until(lambda: signal.getsignal(signal.SIGTERM) != own)
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        await runs
        assert signal.getsignal(signal.SIGTERM) == own
        os.kill(os.getpid(), signal.SIGTERM)
        await wait_until(lambda: len(heard) == 2)
        loop.remove_signal_handler(signal.SIGTERM)

    on_asyncio(main())


def test_a_plain_function_can_stop_the_run(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        client = Client(folder.path)

        @client.binding("orders")
        def on_order(_event: Event) -> None:
            client.stop()

        await client.invoke_binding("orders", "create", b"x")
        await client.run()

    with asyncio.Runner(debug=True) as runner:
        runner.run(asyncio.wait_for(main(), 20))


HANGING = """
import asyncio, threading
from bindwright.aio import Client

async def main():
    client = Client(".")
    @client.binding("orders")
    def on_order(event):
        print("began", flush=True)
        client.stop()
        threading.Event().wait()
    await client.invoke_binding("orders", "create", b"x")
    await client.run(drain=0.1)
    print("drained", flush=True)

asyncio.run(main())
"""


def test_a_function_that_hangs_does_not_keep_the_process(folder: Folder, program: Program) -> None:
    folder.memory()
    process = program(HANGING)
    out, errors = process.communicate(timeout=20)
    assert (out.split(), process.returncode) == (["began", "drained"], 0), errors
