"""The event loops that the asyncio client is tested on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Result = TypeVar("_Result")


class WatchesNothing(asyncio.SelectorEventLoop):
    """As the proactor's loop on Windows: it reads sockets and watches no descriptors."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError

    def remove_reader(self, fd: Any) -> bool:
        raise NotImplementedError

    async def sock_recv(self, sock: Any, count: int) -> bytes:
        # Reading of its own, as this class took away what the selector's does it with.
        while True:
            try:
                return bytes(sock.recv(count))
            except BlockingIOError:
                await asyncio.sleep(0.001)


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "selector": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
    "watches nothing": WatchesNothing,
}


class OnLoop:
    """Runs a coroutine on a fresh loop of one kind."""

    def __init__(self, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._make = make

    def __call__(self, coroutine: Coroutine[Any, Any, _Result], seconds: float = 30.0) -> _Result:
        async def bounded() -> _Result:
            async with asyncio.timeout(seconds):
                return await coroutine

        with asyncio.Runner(loop_factory=self._make) as runner:
            return runner.run(bounded())


each_loop = pytest.mark.parametrize("on_loop", [OnLoop(make) for make in LOOPS.values()], ids=LOOPS.keys())
"""The test runs once on each kind of loop, as its argument `on_loop`."""


async def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until the condition holds; fail after a while."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event tells when it holds
            await asyncio.sleep(0.005)
