"""The asyncio client with the methods of the blocking one, so that what is true of both is tested once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from bindwright.aio import Client, Events

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from bindwright import BindwrightError, Event, Reply
    from bindwright.components import ComponentInfo

_Result = TypeVar("_Result")

_PATIENCE_SECONDS = 60.0


class AioBlocking:
    """A client whose loop runs in a thread of its own."""

    def __init__(self, resources: Path | None = None, **named: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = Client(resources, **named)

    def invoke_binding(self, *arguments: Any, **named: Any) -> Reply:
        return self._wait(self._client.invoke_binding(*arguments, **named))

    def events(self, name: str) -> AioBlockingEvents:
        return self._wait(self._events(name))

    async def _events(self, name: str) -> AioBlockingEvents:
        events = self._client.events(name)
        first = None
        try:
            # Subscribes, and tells what is wrong with that.
            async with asyncio.timeout(0.1):
                first = await anext(events)
        except TimeoutError:
            pass
        return AioBlockingEvents(self, events, first)

    @property
    def transport(self) -> str:
        return self._client.transport

    def faults(self) -> list[BindwrightError]:
        return self._client.faults()

    def components(self) -> list[ComponentInfo]:
        return self._wait(self._client.components())

    def close(self, drain: float) -> None:
        self._wait(self._client.close(drain))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()

    def _wait(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE_SECONDS)


class AioBlockingEvents:
    """An iterator like the blocking client's."""

    def __init__(self, client: AioBlocking, events: Events, first: Event | None) -> None:
        self._client, self._events, self._first = client, events, first

    def __iter__(self) -> AioBlockingEvents:
        return self

    def __next__(self) -> Event:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        event = asyncio.run_coroutine_threadsafe(self._next(), self._client._loop).result()
        if event is None:
            raise StopIteration
        return event

    async def _next(self) -> Event | None:
        return await anext(self._events, None)

    def close(self, drain: float) -> None:
        self._client._wait(self._events.close(drain))
