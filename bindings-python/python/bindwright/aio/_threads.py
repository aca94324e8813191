"""Threads for handlers that are no coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    End = tuple[object, BaseException | None]
    """What a function returned, or what it raised."""

    Job = tuple[contextvars.Context, Callable[[Any], object], Any, asyncio.Future[End]]


class Threads:
    """Runs functions in threads of its own, as many as there are at once; for one loop.

    Not the loop's executor: handlers would hold up what else uses it, such as name resolution, and one that
    hangs would keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads, self._busy = 0, 0

    async def run(self, function: Callable[[Any], object], argument: object) -> object:
        """Call the function in a copy of the current context; cancelling does not wait for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[End] = loop.create_future()
        self._jobs.put((contextvars.copy_context(), function, argument, future))
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            name = f"{self._name}-{self._threads}"
            threading.Thread(target=self._work, args=(loop,), name=name, daemon=True).start()
        answer, error = await future
        if error is None:
            return answer
        if isinstance(error, StopIteration):
            # A coroutine cannot raise it.
            raise RuntimeError("the handler raised StopIteration") from error  # noqa: TRY004 - as Python does
        raise error

    def end(self) -> None:
        """Let the threads end that have nothing to do."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._jobs.get()) is not None:
            context, function, argument, future = job
            answer: object = None
            failure: BaseException | None = None
            try:
                answer = context.run(function, argument)
            except BaseException as error:  # raised again on the loop
                failure = error
            # The loop may be closed, and then nobody waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._tell, future, answer, failure)
            del job, context, argument, future, answer, failure

    def _tell(
        self,
        future: asyncio.Future[End],
        answer: object,
        failure: BaseException | None,
    ) -> None:
        self._busy -= 1
        if not future.done():
            future.set_result((answer, failure))
