"""The threads that run handlers, and the loop of `Client.run` and `Client.start` that looks after them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
import queue
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from bindwright import _tracing
from bindwright._native import CURRENT_TRACE, seconds
from bindwright.errors import InvalidOptionsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from bindwright._native import NativeClient, Subscription
    from bindwright.client import Seconds

DEFAULT_WORKERS = 16
"""Threads that one handler may grow to."""

_BATCH = 64
"""Events that a worker takes at once where the handler gets one by one: enough to make taking them cheap."""

_LOOK_INTERVAL = 0.05
"""Seconds between two looks at the workers."""

_SLOW_CALL = 0.001
"""Seconds: with a handler that takes less, one more thread would only compete for the interpreter."""

_logger = logging.getLogger("bindwright")


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler, the most threads that run it, and the most events it gets at once (`None`: one by one)."""

    handler: Callable[..., object]
    workers: int
    batch: int | None


def check_batch(batch: int | None) -> None:
    """Refuse batches of nothing."""
    if batch is not None and batch < 1:
        refuse(f"batch: expected at least 1, got {batch}", "Allow at least one event.")


def register(handlers: dict[str, Registration], name: str, registration: Registration) -> None:
    """Note the one handler of a binding."""
    if handlers.setdefault(name, registration) is not registration:
        refuse(f"binding {name!r} has a handler already", "Register one function for a binding.")


def is_async(handler: Callable[..., object]) -> bool:
    """Whether calling it gives a coroutine."""
    return any(map(inspect.iscoroutinefunction, _called(handler)))


def _called(handler: Callable[..., object]) -> tuple[object, object]:
    """What may be a function of a special kind: the handler, and what calling an object of a class runs."""
    return handler, getattr(handler, "__call__", None)  # noqa: B004 - the method is wanted, not whether it is one


def check_handler(name: str, handler: Callable[..., object], *, may_be_async: bool = False) -> None:
    """Refuse what would look like a handler and never run."""
    if not callable(handler):
        refuse(f"binding {name!r}: expected a function, got {type(handler).__name__}", "Decorate a function.")
    generators = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(check(called) for check in generators for called in _called(handler)):
        refuse(f"binding {name!r}: the handler is a generator, which nobody would run", "Use a function.")
    if is_async(handler) and not may_be_async:
        refuse(
            f"binding {name!r}: the handler is async, which this client cannot run",
            "Use a plain function here, or the asyncio client, bindwright.aio.Client.",
        )


def refuse(message: str, what_to_do: str) -> NoReturn:
    """Raise `InvalidOptionsError`."""
    text = f"{message} [{InvalidOptionsError.code}]; {what_to_do}"
    raise InvalidOptionsError(text, message=message, retriable=False, what_to_do=what_to_do)


def log_failure(binding: str, attempt: int, settled: bool, error: BaseException) -> None:
    """Log a handler's exception; called by the native part. The event's data stays out of the log."""
    # Whether this was the last delivery is core's to know.
    what_follows = (
        "the event was settled before"
        if settled
        else "the event comes again unless its deliveries are used up"
    )
    _logger.error(
        "the handler of binding %r failed on delivery %d; %s", binding, attempt, what_follows, exc_info=error
    )


def log_batch_failure(binding: str, count: int, error: BaseException) -> None:
    """Log the exception of a handler of batches; called by the native part."""
    _logger.error(
        "the handler of binding %r failed with a batch of %d; what it did not settle comes again "
        "unless its deliveries are used up",
        binding,
        count,
        exc_info=error,
    )


def log_end(binding: str, failure: BaseException) -> None:
    """Log what ended the handlers that `Client.start` began."""
    _logger.error("a handler of binding %r ended all handlers of its client", binding, exc_info=failure)


class _Workers:
    """The threads of one handler: one at first, more while partitions wait for a slow handler."""

    def __init__(
        self,
        name: str,
        registration: Registration,
        subscription: Subscription,
        context: contextvars.Context,
    ) -> None:
        self.name = name
        self._registration = registration
        self._subscription = subscription
        self._context = context
        self._threads: list[threading.Thread] = []
        self._handled, self._busy = 0, 0.0
        self._waited = False
        self.failure: BaseException | None = None
        self._add()

    def _add(self) -> None:
        name = f"bindwright-{self.name}-{len(self._threads) + 1}"
        # A context cannot be entered twice, and what one thread sets is not for the others.
        work = functools.partial(self._context.copy().run, self._work)
        # Daemons: a handler that hangs must not keep the process from ending after the drain.
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        handler, most = self._registration.handler, self._registration.batch or _BATCH
        traced = _tracing.traced(self.name, handler)
        # Whoever says run or start in a handler passes on its variables, but not the trace of its event.
        CURRENT_TRACE.set(None)
        try:
            while self._subscription.run_batch(traced if _tracing.is_used() else handler, most):
                pass
        except BaseException as error:  # raised again where the loop is closed
            self.failure = self.failure or error

    def look(self) -> None:
        """Tell outcomes that wait for a slow event, and add a thread when that helps."""
        self._subscription.flush()
        handled, busy = self._subscription.load()
        done, took = handled - self._handled, busy - self._busy
        self._handled, self._busy = handled, busy
        waiting = self._subscription.lanes_waiting() > 0
        # Nothing done at all since the last look is slow, too.
        slow = took > done * _SLOW_CALL or done == 0
        if waiting and self._waited and slow and len(self._threads) < self._registration.workers:
            self._add()
        self._waited = waiting

    def is_over(self) -> bool:
        """Whether a thread failed, or all have ended."""
        return self.failure is not None or not any(thread.is_alive() for thread in self._threads)

    def end_intake(self) -> None:
        """Begin no more events."""
        self._subscription.stop()

    def join(self, deadline: float) -> None:
        """Wait for the threads until `time.monotonic()` says `deadline`."""
        for thread in self._threads:
            # A handler that closes the client cannot wait for itself.
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


class Loop:
    """Runs the handlers of a client until somebody says stop, in the caller's thread or behind its back."""

    def __init__(self, native: NativeClient, handlers: dict[str, Registration]) -> None:
        self._native = native
        self._handlers = handlers
        self._workers: dict[str, _Workers] = {}
        # What is set where the program says run or start is what handlers see.
        self._context = contextvars.copy_context()
        # Handlers are begun by the thread that registers them, and looked after by another one.
        self._lock = threading.Lock()
        # Safe to use in a signal handler, which an Event is not.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._watcher: threading.Thread | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self.is_closed = False

    def begin(self, name: str) -> None:
        """Subscribe one handler and begin its first thread, unless that was done or all is about to stop."""
        with self._lock:
            if self._stopping or name in self._workers:
                return
            registration = self._handlers[name]
            subscription = self._native.subscribe(name, registration.batch is not None)
            self._workers[name] = _Workers(name, registration, subscription, self._context)
            if self._stopping:
                self._workers[name].end_intake()

    def start(self) -> None:
        """Begin all handlers and look after them in a thread of our own."""
        try:
            self._begin_all()
        finally:
            # Also when one was refused: those before it work already.
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="bindwright-handlers", daemon=True)
                self._watcher.start()

    def stop(self) -> None:
        """Begin to stop; for signal handlers and other threads."""
        self._stopping = True
        self._wake.put(None)

    def run(self, drain: Callable[[], None]) -> None:
        """Run until `stop`, a signal, the client's end, or a handler's death; then `drain`, which closes."""
        with STOP_SIGNALS.heard_by(self.stop):
            try:
                self._begin_all()
                if self._watcher is None:
                    self._look_after_workers()
                while self._watcher is not None and self._watcher.is_alive():
                    self._watcher.join(_LOOK_INTERVAL)
            finally:
                drain()

    def close(self, drain: Seconds) -> None:
        """Begin no more events, drain, close the client, and raise what ended a handler, once."""
        self.stop()
        self.is_closed = True
        began = time.monotonic()
        self._native.close(drain)
        deadline = began + seconds("drain", drain)
        for workers in self._workers.copy().values():
            workers.join(deadline)
            self._failure, workers.failure = self._failure or workers.failure, None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _begin_all(self) -> None:
        for name in self._handlers.copy():
            self.begin(name)

    def _look_after_workers(self) -> None:
        while not self._stopping:
            for workers in self._workers.copy().values():
                workers.look()
                if workers.is_over():
                    return
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=_LOOK_INTERVAL)

    def _watch(self) -> None:
        try:
            self._look_after_workers()
        except BaseException as error:  # raised again in close
            self._failure = error
        # Nobody may be waiting for this end.
        self.stop()
        for workers in self._workers.copy().values():
            workers.end_intake()
            if workers.failure is not None:
                log_end(workers.name, workers.failure)


class _StopSignals:
    """SIGTERM and SIGINT, for all that runs in the main thread at the time."""

    def __init__(self) -> None:
        self._stops: list[Callable[[], None]] = []
        self._previous: dict[signal.Signals, Any] = {}
        self._heard = False

    @contextlib.contextmanager
    def heard_by(self, stop: Callable[[], None]) -> Iterator[None]:
        """Turn the first signal into `stop`, the second one into the end of the program."""
        if threading.current_thread() is not threading.main_thread():
            # Only the main thread can receive signals; whoever runs us elsewhere calls `stop`.
            yield
            return
        if not self._stops:
            self._heard = False
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._on_signal)
        self._stops.append(stop)
        try:
            yield
        finally:
            self._stops.remove(stop)
            if not self._stops:
                for number, handler in self._previous.items():
                    # None: it was not installed by Python, and cannot be by us.
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._heard:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self._heard = True
        for stop in self._stops.copy():
            stop()


STOP_SIGNALS = _StopSignals()
