"""Awaited calls: results, errors, crowds, cancellation, loops."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from aio_loops import OnLoop, each_loop, wait_until
from bindwright import Reply
from bindwright.aio import Client
from bindwright.aio._wakeup import tasks_of
from bindwright.errors import (
    BindingTimeoutError,
    BindwrightError,
    ClosedError,
    ComponentNotFoundError,
    InvalidOptionsError,
    InvalidRequestError,
    UnavailableError,
)

if TYPE_CHECKING:
    from conftest import Folder, Program


@each_loop
def test_a_call_is_answered(on_loop: OnLoop, folder: Folder) -> None:
    folder.kafka()

    async def main() -> Reply:
        async with Client(folder.path) as client:
            return await client.invoke_binding("orders", "create", {"orderId": 1}, {"partitionKey": "k"}, 10)

    assert on_loop(main()).metadata["offset"] == "0"


@each_loop
def test_a_crowd_wakes_the_loop_seldom(on_loop: OnLoop, folder: Folder) -> None:
    folder.kafka()

    async def main() -> tuple[set[str], int]:
        async with Client(folder.path) as client:
            await client.invoke_binding("orders", "create", b"connects", {"partitionKey": "k"})
            calls = [
                client.invoke_binding("orders", "create", b"x", {"partitionKey": "k"}) for _ in range(500)
            ]
            replies = await asyncio.gather(*calls)
            return {reply.metadata["offset"] for reply in replies}, tasks_of(
                asyncio.get_running_loop()
            ).waiting()

    offsets, waiting = on_loop(main())
    assert offsets == {str(offset) for offset in range(1, 501)}
    assert waiting == 0


def test_many_results_come_with_one_wake_up(folder: Folder) -> None:
    folder.memory(delay="50ms")
    wakes = []

    class Counting(asyncio.SelectorEventLoop):
        def add_reader(self, fd: object, callback: object, *arguments: object) -> None:
            def counted() -> None:
                wakes.append(fd)
                callback(*arguments)  # type: ignore[operator]

            super().add_reader(fd, counted)  # type: ignore[arg-type]

    async def main() -> None:
        async with Client(folder.path) as client:
            calls = asyncio.gather(*[client.invoke_binding("orders", "create", b"x") for _ in range(200)])
            await asyncio.sleep(0)
            # The loop hears nothing while all of them are done.
            time.sleep(0.5)  # noqa: ASYNC251 - on purpose
            await calls

    OnLoop(Counting)(main())
    # The loop's own reader wakes it, too.
    assert 1 <= len(wakes) <= 5


@each_loop
def test_many_payloads_have_a_result_each(on_loop: OnLoop, folder: Folder) -> None:
    folder.memory(failures="ok, UNAVAILABLE")

    async def main() -> list[Reply | BindwrightError]:
        async with Client(folder.path) as client:
            return await client.invoke_many("orders", "create", [b"a", b"b", object(), "c"])

    first, second, third, fourth = on_loop(main())
    assert isinstance(first, Reply)
    assert isinstance(second, UnavailableError)
    assert isinstance(third, InvalidRequestError)
    assert isinstance(fourth, Reply)


def test_errors_are_raised_where_they_are_awaited(folder: Folder) -> None:
    folder.memory(delay="10s")

    async def main() -> None:
        client = Client(folder.path)
        with pytest.raises(ComponentNotFoundError) as raised:
            await client.invoke_binding("missing", "create")
        assert raised.value.component == "missing"
        with pytest.raises(InvalidRequestError):
            await client.invoke_binding("orders", "create", object())
        with pytest.raises(BindingTimeoutError):
            await client.invoke_binding("orders", "create", b"", timeout=0.01)
        await client.close()
        await client.close()
        with pytest.raises(ClosedError):
            await client.invoke_binding("orders", "create")

    OnLoop(asyncio.new_event_loop)(main())


@each_loop
def test_cancelling_a_task_cancels_its_call(on_loop: OnLoop, folder: Folder) -> None:
    folder.memory(delay="30s")

    async def main() -> None:
        async with Client(folder.path) as client:
            tasks = tasks_of(asyncio.get_running_loop())
            call = asyncio.create_task(client.invoke_binding("orders", "create", b"x"))
            await wait_until(lambda: tasks.waiting() == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert tasks.waiting() == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await client.invoke_binding("orders", "create", b"x")
            assert tasks.waiting() == 0

    on_loop(main(), 10)


def test_a_cancelled_call_is_not_sent(folder: Folder) -> None:
    """What waits for a broker that is away is recalled."""
    folder.bootstrap = "127.0.0.1:1"
    folder.kafka()

    async def main() -> None:
        async with Client(folder.path) as client:
            call = asyncio.create_task(client.invoke_binding("orders", "create", b"x"))
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            with pytest.raises((BindingTimeoutError, UnavailableError)):
                await client.invoke_binding("orders", "create", b"x", timeout=0.2)

    OnLoop(asyncio.new_event_loop)(main(), 15)


def test_waiting_does_not_hold_the_loop_up(folder: Folder) -> None:
    folder.memory(delay="300ms")

    async def main() -> int:
        turns = 0
        async with Client(folder.path) as client:
            call = asyncio.create_task(client.invoke_binding("orders", "create", b"x"))
            while not call.done():
                turns += 1
                await asyncio.sleep(0.001)
            await call
        return turns

    assert OnLoop(asyncio.new_event_loop)(main()) > 5


def test_one_client_serves_loops_of_several_threads(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)
    offsets: list[str] = []

    async def send() -> None:
        for _ in range(200):
            reply = await client.invoke_binding("orders", "create", b"x")
            offsets.append(reply.metadata["position"])

    threads = [threading.Thread(target=asyncio.run, args=(send(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    asyncio.run(client.close())
    assert len(set(offsets)) == 800


def test_a_client_outlives_its_loop(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)
    for _ in range(3):
        asyncio.run(client.invoke_binding("orders", "create", b"x"))
    asyncio.run(client.close())


def test_loops_leave_no_descriptors_behind(folder: Folder) -> None:
    folder.memory()
    client = Client(folder.path)

    def descriptors() -> int:
        for _ in range(5):
            asyncio.run(client.invoke_binding("orders", "create", b"x"))
        gc.collect()
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only their number counts

    # Clients of tests before this one may be connecting now and then.
    before = min(descriptors() for _ in range(3))
    assert min(descriptors() for _ in range(3)) <= before
    asyncio.run(client.close())


def test_a_lost_result_hurts_nobody(folder: Folder) -> None:
    """The loop ends while calls are out."""
    folder.memory(delay="50ms")
    client = Client(folder.path)

    async def leave() -> None:
        call = asyncio.ensure_future(client.invoke_binding("orders", "create", b"x"))
        await asyncio.sleep(0)
        call.cancel()

    asyncio.run(leave())
    assert asyncio.run(client.invoke_binding("orders", "create", b"x")).data is None
    asyncio.run(client.close())


def test_opening_can_wait_until_all_works(folder: Folder) -> None:
    folder.memory(ready="50ms")

    async def main() -> list[str]:
        async with Client(folder.path, wait="ready", wait_timeout=10) as client:
            return [one.state for one in await client.components()]

    assert OnLoop(asyncio.new_event_loop)(main()) == ["ready"]


def test_opening_tells_what_does_not_work(folder: Folder) -> None:
    folder.memory(ready="30s")

    async def main() -> None:
        with pytest.raises(BindwrightError):
            async with Client(folder.path, wait="ready", wait_timeout=0.05):
                pytest.fail("not ready")

    OnLoop(asyncio.new_event_loop)(main(), 10)
    with pytest.raises(InvalidOptionsError):
        Client(folder.path, wait="soon")  # type: ignore[arg-type]


def test_components_can_be_changed(folder: Folder) -> None:
    folder.memory()

    async def main() -> None:
        async with Client(folder.path) as client:
            names = client.add_component(
                "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: more}\n"
                "spec: {type: bindings.memory, version: v1, metadata: [{name: queue, value: more}]}"
            )
            assert names == ["more"]
            await client.invoke_binding("more", "create", b"x")
            client.remove_component("more")
            with pytest.raises(ComponentNotFoundError):
                await client.invoke_binding("more", "create", b"x")
            folder.memory("later")
            assert (await client.reload()).added == ["later"]
            assert client.faults() == []
            assert repr(client) == "<Client of asyncio, embedded>"

    OnLoop(asyncio.new_event_loop)(main())


CHILD = """
import asyncio, os, signal
signal.alarm(30)
from bindwright import errors
from bindwright.aio import Client

client = Client(".")

async def refused():
    try:
        await client.invoke_binding("orders", "create", b"child")
    except errors.ForkedError:
        print("refused", flush=True)

async def own():
    async with Client(".") as client:
        await client.invoke_binding("orders", "create", b"child")
        print("own", flush=True)

async def main():
    await client.invoke_binding("orders", "create", b"first")
    child = os.fork()
    if child == 0:
        # asyncio itself knows that the parent's loop does not run here.
        asyncio.run(refused())
        asyncio.run(own())
        os._exit(0)
    os.waitpid(child, 0)
    await client.invoke_binding("orders", "create", b"second")
    await client.close()

asyncio.run(main())
print("done")
"""


def test_a_forked_child_is_told(folder: Folder, program: Program) -> None:
    folder.memory()
    out, errors = program(CHILD).communicate(timeout=40)
    assert out.split() == ["refused", "own", "done"], errors
