"""Events that an asyncio program pulls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from bindwright.aio._wakeup import cancelling, tasks_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from types import TracebackType

    from bindwright._native import Event, Subscription


class Events:
    """The events of one binding, to be settled by the program: `async for event in client.events(name)`.

    Attached at the first event that is asked for. Ends when the client or this iterator is closed. Several
    tasks can share it: each event goes to one of them.
    """

    __slots__ = ("_attach", "_ended", "_subscription", "_turn")

    def __init__(self, attach: Callable[[], Awaitable[Subscription]]) -> None:
        self._attach = attach
        self._subscription: Subscription | None = None
        # One task waits; what it pulls may be for the others.
        self._turn = asyncio.Lock()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._subscription is not None:
            event = self._subscription.take_one()
            if event is not None:
                return event
        async with self._turn:
            if self._ended:
                raise StopAsyncIteration
            if self._subscription is None:
                subscription = await self._attach()
                if self._ended:
                    # Closed meanwhile; without an owner the subscription ends.
                    raise StopAsyncIteration
                self._subscription = subscription
            loop = asyncio.get_running_loop()
            tasks = tasks_of(loop)
            while (event := self._subscription.take_one()) is None:
                await cancelling(tasks, tasks.wait(loop, self._subscription))
            return event

    async def close(self, drain: float | timedelta = 0.0) -> None:
        """Stop receiving.

        Gives back what was not iterated over, waits up to `drain` until events that the program still has are
        settled, and leaves. What is not settled comes again. Closing twice is fine.

        Raises:
            BindwrightError: Something settled could not be recorded; it will be delivered again.
        """
        self._ended = True
        if self._subscription is not None:
            loop = asyncio.get_running_loop()
            tasks = tasks_of(loop)
            await cancelling(tasks, tasks.end(loop, self._subscription, drain))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
