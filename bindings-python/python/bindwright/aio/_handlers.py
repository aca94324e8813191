"""The tasks that run handlers on an asyncio loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar, cast

from bindwright import _tracing
from bindwright._handlers import is_async, log_end
from bindwright._native import CURRENT_TRACE
from bindwright.aio._threads import Threads
from bindwright.aio._wakeup import cancelling, tasks_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from bindwright._handlers import Registration
    from bindwright._native import Event, Subscription

_Events = TypeVar("_Events", "Event", "list[Event]")

_BATCH = 64
"""Events that a task takes at once where the handler gets one by one: enough to make taking them cheap."""

_TURN = 0.005
"""Seconds that handlers which never wait may keep the loop, and that an outcome waits for others."""

_ENDLESS = 1 << 30
"""Workers of an async handler: core hands out no more lanes than `maxInFlight` allows."""


class Handling:
    """The events of one binding on their way through its handler, on the loop that made this.

    `ended` is called when there will be no more events, also because a handler ended the program.
    """

    def __init__(
        self, name: str, subscription: Subscription, registration: Registration, ended: Callable[[], None]
    ) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._subscription = subscription
        self._handler = registration.handler
        self._most = registration.batch
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()
        self._threads = Threads(f"bindwright-{name}")
        runs_here = is_async(self._handler)
        self._call: Callable[[Any], Awaitable[object]]
        self._call = cast("Any", self._handler) if runs_here else self._in_thread
        # Events stay in core until there is a thread for them: there no handler's time runs.
        self._most_workers = _ENDLESS if runs_here else registration.workers
        # The events that each has taken and not settled.
        self._workers: dict[asyncio.Task[None], deque[Event]] = {}
        self._room = asyncio.Event()
        self._flush_is_due = False
        # What the handlers see: not the trace of a handler that starts others.
        self._context = contextvars.copy_context()
        self._context.run(CURRENT_TRACE.set, None)
        self._pump = self._task(self._hand_out())
        self._pump.add_done_callback(lambda _: ended())

    def is_over(self) -> bool:
        """Whether it handles nothing more."""
        return self._pump.done() or self._loop.is_closed()

    def leave(self) -> None:
        """Make room for another one, after it is over."""
        self._subscription.leave()

    def runs(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the task is one of its handlers'."""
        return task in self._workers

    async def end(self) -> None:
        """Cancel what still runs; to be called after closing waited for it."""
        if self._process != os.getpid() or self._loop.is_closed():
            return
        if asyncio.get_running_loop() is not self._loop:
            if self._loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.end(), self._loop))
            return
        tasks = [self._pump, *self._workers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.end()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._loop.create_task(work, name=f"bindwright {self.name}", context=self._context.copy())

    async def _hand_out(self) -> None:
        tasks = tasks_of(self._loop)
        while True:
            while len(self._workers) < self._most_workers:
                events = self._subscription.take(self._most or _BATCH)
                if events is None:
                    return
                if not events:
                    break
                self._start(deque(events))
            else:
                self._room.clear()
                await self._room.wait()
                continue
            await cancelling(tasks, tasks.wait(self._loop, self._subscription))

    def _start(self, events: deque[Event]) -> None:
        work = self._work_off if self._most is None else self._work_off_together
        worker = self._task(work(events))
        self._workers[worker] = events
        worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        unsettled = self._workers.pop(worker)
        self._room.set()
        if unsettled:
            # Cancelled, perhaps before it began: no handler had them, or none is to blame.
            self._subscription.release(list(unsettled))
        if not worker.cancelled() and (failure := worker.exception()) is not None:
            self._give_up(failure)

    def _give_up(self, failure: BaseException) -> None:
        """A handler wants the program to end: begin nothing more."""
        self._subscription.stop()
        if self.failure is None:
            self.failure = failure
            log_end(self.name, failure)
        self._pump.cancel()

    async def _work_off(self, events: deque[Event]) -> None:
        """One after the other, and then whatever else there is."""
        subscription = self._subscription
        began = time.monotonic()
        while events:
            event = events[0]
            if subscription.begin(event):
                is_clean = await self._handle(event)
                if self.failure is not None:
                    return
                events.popleft()
                if not is_clean:
                    # What the handler set is not for the next event.
                    subscription.flush()
                    if events:
                        self._start(events.copy())
                        events.clear()
                    return
            else:
                events.popleft()
            if not events:
                subscription.flush()
                await asyncio.sleep(0)
                events.extend(subscription.take(_BATCH) or ())
            elif time.monotonic() - began >= _TURN:
                subscription.flush()
                await asyncio.sleep(0)
                began = time.monotonic()

    async def _handle(self, event: Event) -> bool:
        """Whether the handler left its context variables as they were."""
        is_clean = await self._settle(event, self._subscription.settle, self._subscription.fail)
        if not self._flush_is_due:
            # The next event may take long.
            self._flush_is_due = True
            self._loop.call_later(_TURN, self._flush)
        return is_clean

    async def _settle(
        self,
        events: _Events,
        settle: Callable[[_Events, object], None],
        fail: Callable[[_Events, BaseException], None],
    ) -> bool:
        """Call the handler and tell what it answered; whether it left its context variables as they were."""
        _tracing.enter(events)
        before = contextvars.copy_context()
        try:
            answer = await self._answer(events)
        except Exception as error:
            fail(events, error)
        except BaseException as error:
            if _is_wish_to_cancel(error):
                raise
            if isinstance(error, asyncio.CancelledError):
                # Of something that the handler waited for.
                fail(events, error)
            else:
                self._give_up(error)
                return True
        else:
            settle(events, answer)
        return contextvars.copy_context() == before

    async def _work_off_together(self, events: deque[Event]) -> None:
        subscription = self._subscription
        while events:
            begun = [event for event in events if subscription.begin(event)]
            events.clear()
            events.extend(begun)
            if begun:
                is_clean = await self._settle(begun, subscription.settle_together, subscription.fail_together)
                if self.failure is not None:
                    return
                events.clear()
                if not is_clean:
                    # What the handler set is not for the next events, which another worker takes.
                    return
            await asyncio.sleep(0)
            events.extend(subscription.take(self._most or _BATCH) or ())

    async def _answer(self, events: Event | list[Event]) -> object:
        # The handler may change the list that it is given.
        given = events.copy() if isinstance(events, list) else events
        if _tracing.is_used():
            with _tracing.handling(self.name, events):
                return await self._call(given)
        return await self._call(given)

    async def _in_thread(self, events: Event | list[Event]) -> object:
        answer = await self._threads.run(self._handler, events)
        # A function may give a coroutine without looking like one.
        return await answer if inspect.isawaitable(answer) else answer

    def _flush(self) -> None:
        self._flush_is_due = False
        self._subscription.flush()


def _is_wish_to_cancel(error: BaseException) -> bool:
    """Whether somebody cancelled the worker, and not what its handler waited for; or its loop is gone."""
    if isinstance(error, GeneratorExit):
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
