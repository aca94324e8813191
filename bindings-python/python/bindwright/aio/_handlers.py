"""The tasks that run handlers on an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bindwright import _tracing
from bindwright._handlers import is_async
from bindwright.aio._wakeup import tasks_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from bindwright._handlers import Registration
    from bindwright._native import Event, Subscription

_BATCH = 64
"""Events that a task takes at once where the handler gets one by one: enough to make taking them cheap."""

_TURN = 0.005
"""Seconds that handlers which never wait may keep the loop, and that an outcome waits for others."""


def awaitable(handler: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    """The handler itself when it is async; else one that runs it in a thread."""
    if is_async(handler):
        return handler  # type: ignore[return-value]

    async def in_thread(argument: object) -> object:
        answer = await asyncio.to_thread(handler, argument)
        # A `partial` or a decorated function may be async without looking so.
        return await answer if inspect.isawaitable(answer) else answer

    return in_thread


class Handling:
    """The events of one binding on their way through its handler."""

    def __init__(self, name: str, subscription: Subscription, registration: Registration) -> None:
        self._name = name
        self._subscription = subscription
        self._handler = awaitable(registration.handler)
        self._most = registration.batch
        self._loop = asyncio.get_running_loop()
        self._workers: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        self.failure: BaseException | None = None
        self._pump = self._loop.create_task(self._hand_out(), name=f"bindwright {name}")

    async def end(self) -> None:
        """Cancel what still runs; to be called after closing waited for it."""
        tasks = [self._pump, *self._workers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ended(self) -> None:
        """Wait until there are no more events, or until a handler ended the program."""
        await asyncio.wait([self._pump])

    async def _hand_out(self) -> None:
        tasks = tasks_of(self._loop)
        while True:
            # As many workers as core hands out lanes, which `maxInFlight` bounds.
            while events := self._subscription.take(self._most or _BATCH):
                self._start(events)
            if events is None:
                return
            ready = tasks.wait(self._loop, self._subscription)
            try:
                await ready
            except asyncio.CancelledError:
                tasks.cancel(ready)
                raise

    def _start(self, events: list[Event]) -> None:
        work = self._work_off if self._most is None else self._work_off_together
        worker = self._loop.create_task(work(events))
        self._workers.add(worker)
        worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (failure := worker.exception()) is not None:
            self.failure = self.failure or failure
            self._pump.cancel()

    async def _work_off(self, events: list[Event] | None) -> None:
        """One after the other, and then whatever else there is."""
        began = time.monotonic()
        while events:
            for done, event in enumerate(events):
                if not self._subscription.begin(event):
                    continue
                await self._handle(event, events[done:])
                now = time.monotonic()
                if now - began >= _TURN:
                    self._subscription.flush()
                    await self._pass_on(events[done + 1 :])
                    began = time.monotonic()
            self._subscription.flush()
            await self._pass_on([])
            events = self._subscription.take(_BATCH)

    async def _handle(self, event: Event, unsettled: list[Event]) -> None:
        subscription = self._subscription
        try:
            answer = await self._answer(event)
        except Exception as error:
            subscription.fail(event, error)
        except BaseException as error:
            if _is_own(error):
                subscription.fail(event, error)
            else:
                # The program wants to end, and nobody says that the event is to blame: no failed delivery.
                subscription.release(unsettled)
                raise
        else:
            subscription.settle(event, answer)
        if not self._flush_is_due:
            # The next event may take long.
            self._flush_is_due = True
            self._loop.call_later(_TURN, self._flush)

    async def _answer(self, events: Event | list[Event]) -> object:
        _tracing.enter(events)
        if _tracing.is_used():
            with _tracing.handling(self._name, events):
                return await self._handler(events)
        return await self._handler(events)

    def _flush(self) -> None:
        self._flush_is_due = False
        self._subscription.flush()

    async def _pass_on(self, unsettled: list[Event]) -> None:
        """Lets the loop do something else."""
        try:
            await asyncio.sleep(0)
        except BaseException:
            self._subscription.release(unsettled)
            raise

    async def _work_off_together(self, events: list[Event] | None) -> None:
        subscription = self._subscription
        while events:
            begun = [event for event in events if subscription.begin(event)]
            if begun:
                try:
                    # The handler may change the list that it is given.
                    answer = await self._answer(list(begun))
                except Exception as error:
                    subscription.fail_together(begun, error)
                except BaseException as error:
                    if not _is_own(error):
                        subscription.release(begun)
                        raise
                    subscription.fail_together(begun, error)
                else:
                    subscription.settle_together(begun, answer)
            await self._pass_on([])
            events = subscription.take(self._most or _BATCH)


def _is_own(error: BaseException) -> bool:
    """Whether a `CancelledError` is that of something the handler waited for, and nobody's wish to end."""
    task: asyncio.Task[Any] | None = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() == 0


@contextlib.contextmanager
def stop_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGTERM or SIGINT into `stop`, the second one into the end of the program."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can receive signals; whoever runs us elsewhere calls `stop`.
        yield
        return
    stopping = False

    def on_signal(number: int, *_frame: object) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        stopping = True
        # Wakes the loop also from a plain signal handler.
        loop.call_soon_threadsafe(stop)

    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in previous:
        try:
            loop.add_signal_handler(number, partial(on_signal, number))
        except NotImplementedError:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            # None: it was not installed by Python, and cannot be by us.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
