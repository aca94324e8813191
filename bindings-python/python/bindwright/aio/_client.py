"""The asyncio client."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from sys import modules as _modules
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from bindwright import _handlers, _logs, _tracing
from bindwright._handlers import STOP_SIGNALS
from bindwright._native import NativeClient, Outcome, Reply, seconds
from bindwright.aio._events import Events
from bindwright.aio._handlers import Handling
from bindwright.aio._wakeup import cancelling, tasks_of
from bindwright.components import ComponentInfo, Reload, component_infos

if TYPE_CHECKING:
    from types import TracebackType

    from bindwright._native import Event, LoopTasks, Subscription
    from bindwright.errors import BindwrightError

_Seconds = float | timedelta
_Metadata = Mapping[str, str]
_Transport = Literal["embedded", "sidecar-grpc", "sidecar-http"]

_Handler = TypeVar("_Handler", bound=Callable[["Event"], object])
_BatchAnswer = Outcome | Sequence[Outcome | None] | None
_BatchHandler = TypeVar(
    "_BatchHandler", bound=Callable[[list["Event"]], Awaitable[_BatchAnswer] | _BatchAnswer]
)


class Client:
    """Calls bindings and receives events, in this process or through a sidecar, on an asyncio loop.

    Everything that `bindwright.Client` is, with the same arguments; what waits there is awaited here.
    Opening reads the component documents and connects to nothing. A client may be used from several loops,
    each in its own thread, and shares its connections with all clients of the same resources and app id,
    blocking ones too.

    `wait="ready"` counts for `async with`: entering waits, for up to `wait_timeout`, until every component
    that can send works.

    Raises:
        InvalidOptionsError: A folder is missing, or an argument or a variable cannot be used.
        InvalidManifestError: Two components have one name. A fault in one document does not keep the others
            from being used: see `faults()`.

    Example:
        >>> async with Client(resources="./components") as client:
        ...     reply = await client.invoke_binding("checkout", "create", {"orderId": 1}, timeout=5)
        ...     reply.metadata["offset"]
        '0'
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_handlers",
        "_handling",
        "_native",
        "_over",
        "_starting",
        "_stopped",
        "_wait",
        "_wait_timeout",
    )

    def __init__(
        self,
        resources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        *,
        app_id: str | None = None,
        timeout: _Seconds = 30.0,
        hot_reload: bool | None = None,
        wait: Literal["ready"] | None = None,
        wait_timeout: _Seconds = 30.0,
        transport: _Transport | None = None,
        sidecar_endpoint: str | None = None,
        sidecar_token: str | None = None,
        sidecar_ca: str | os.PathLike[str] | None = None,
        max_message_size: int | None = None,
        max_retries: int | None = None,
        app_port: int | None = None,
        app_token: str | None = None,
    ) -> None:
        if isinstance(resources, str | os.PathLike):
            resources = [resources]
        if wait not in (None, "ready"):
            _handlers.refuse(f'wait: expected "ready" or None, got {wait!r}', "Correct the argument.")
        _logs.follow()
        self._native = NativeClient(
            resources,
            app_id,
            transport,
            timeout,
            hot_reload,
            sidecar_endpoint=sidecar_endpoint,
            sidecar_token=sidecar_token,
            sidecar_ca=sidecar_ca,
            max_message_size=max_message_size,
            max_retries=max_retries,
            app_port=app_port,
            app_token=app_token,
        )
        self._handlers: dict[str, _handlers.Registration] = {}
        self._handling: dict[str, Handling] = {}
        self._starting: set[str] = set()
        self._stopped = False
        # The loop of `run()`, and what ends it.
        self._over: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._wait, self._wait_timeout = wait, wait_timeout
        # The loop that was used last, and the calls that wait on it.
        self._at: tuple[asyncio.AbstractEventLoop, LoopTasks] | None = None

    async def invoke_binding(
        self,
        name: str,
        operation: str,
        data: object = b"",
        metadata: _Metadata | None = None,
        timeout: _Seconds | None = None,  # noqa: ASYNC109 - core knows what became of the data
    ) -> Reply:
        """Run one operation of the binding `name`; returns after the backend confirmed it.

        `data` is sent verbatim when it is bytes-like and as UTF-8 when it is text; anything else is sent as
        compact JSON. Left out it is empty; `None` is no data at all, a tombstone on Kafka. `timeout` bounds
        the whole call, connecting included; without one the client's counts. Cancelling the task recalls
        what was not yet handed to the backend; what was handed over may still take effect.

        Raises:
            ComponentNotFoundError, UnsupportedDirectionError, UnsupportedOperationError, InvalidRequestError,
            PayloadTooLargeError: Nothing was sent, and the same call would fail again.
            BindingTimeoutError, UnavailableError, QueueFullError: The time was over before anything was sent.
            OutcomeUnknownError: The time was over afterwards; the data may or may not have arrived.
            BindwrightError: Any other code, as the backend's answer asks for; see `bindwright.errors`.
        """
        loop, tasks = self._here()
        # Looked up here: without it a call is not worth a context manager.
        if "opentelemetry.trace" in _modules:
            with _tracing.invocation(name, operation, metadata):
                future = tasks.invoke(loop, self._native, name, operation, data, metadata, timeout)
                return await cancelling(tasks, future)
        future = tasks.invoke(loop, self._native, name, operation, data, metadata, timeout)
        # As `cancelling` does it, without a coroutine more for every call.
        try:
            return await future
        except asyncio.CancelledError:
            tasks.cancel(future)
            raise

    async def invoke_many(
        self,
        name: str,
        operation: str,
        payloads: Iterable[object],
        metadata: _Metadata | Sequence[_Metadata | None] | None = None,
        timeout: _Seconds | None = None,  # noqa: ASYNC109 - as in invoke_binding
    ) -> list[Reply | BindwrightError]:
        """Run one operation for many payloads at once; one result for each, in their order.

        A payload that could not be sent has its error in its place; that error is not raised. `metadata` is
        one mapping for all of them, or a sequence with one for each. `timeout` is for all of them together.
        Payloads are taken over in one go, about a microsecond each, and only then does the loop go on.

        Raises:
            BindwrightError: What concerns all of them, such as `ComponentNotFoundError`.
        """
        loop, tasks = self._here()
        with _tracing.invocation(name, operation, metadata) as call:
            future = tasks.invoke_many(loop, self._native, name, operation, payloads, metadata, timeout)
            results = await cancelling(tasks, future)
            call.results(results)
        return results

    @overload
    def binding(self, name: str, *, batch: None = None) -> Callable[[_Handler], _Handler]: ...

    @overload
    def binding(self, name: str, *, batch: int) -> Callable[[_BatchHandler], _BatchHandler]: ...

    def binding(self, name: str, *, batch: int | None = None) -> Callable[[Any], Any]:
        """Decorate the function that handles the events of the binding `name`.

        `run()` or `start()` starts it.

        An `async def` runs on the loop, a `def` in a thread, up to 16 of them. What returning, raising
        and an `Outcome` mean, and what `batch` does, is as for `bindwright.Client.binding`. Events of a
        partition come one after the other, partitions in parallel, as many as the component's `maxInFlight`
        allows. Handlers see the context variables that were set when they were started.

        Raises:
            InvalidOptionsError: The binding has a handler already, the function is a generator, or a number
                is less than 1.
        """
        _handlers.check_batch(batch)

        def register(handler: _Handler) -> _Handler:
            _handlers.check_handler(name, handler, may_be_async=True)
            registration = _handlers.Registration(handler, _handlers.DEFAULT_WORKERS, batch)
            _handlers.register(self._handlers, name, registration)
            return handler

        return register

    def events(self, name: str) -> Events:
        """Receive the events of the binding `name` one by one, settling each yourself.

        >>> async with client.events("orders") as events:
        ...     async for event in events:
        ...         print(event.json())
        ...         event.ack()

        An event that is not settled comes again when the program starts again. A backend that is down is no
        error: its events come when it is back. Iterating raises what subscribing raises:
        `ComponentNotFoundError`, `UnsupportedDirectionError`, `InvalidSettingsError`.
        """
        return Events(lambda: self._subscribe(name, "freely"))

    async def start(self) -> None:
        """Begin the registered handlers, which run in tasks of their own until `close()`.

        Starting again begins those that were registered since. Signals are left to the program; `run()` heeds
        them.

        Raises:
            InvalidOptionsError: No handler is registered.
            ComponentNotFoundError, UnsupportedDirectionError, InvalidSettingsError: A binding with a handler
                cannot be subscribed to.
        """
        if not self._handlers:
            _handlers.refuse("no handler is registered", "Decorate one with `@client.binding(name)` first.")
        for name, registration in list(self._handlers.items()):
            begun = self._handling.get(name)
            if name in self._starting or (begun is not None and not begun.is_over()):
                continue
            if begun is not None:
                # On a loop that is gone.
                begun.leave()
            self._starting.add(name)
            try:
                hand_out: Literal["events", "batches"] = "events" if registration.batch is None else "batches"
                subscription = await self._subscribe(name, hand_out)
                self._handling[name] = Handling(name, subscription, registration, self._end_run)
            finally:
                self._starting.discard(name)

    async def run(self, drain: _Seconds = 10.0) -> None:
        """Run the registered handlers until SIGTERM, SIGINT (Ctrl-C) or `stop()`; then drain and close.

        Draining means: no more events are begun, and those that were begun have up to `drain` (seconds or a
        `timedelta`); then their tasks are cancelled, and what is not settled comes again. Returns normally
        after a signal; a second one ends the program at once. Signals are heeded only on the main thread's
        loop. A `SystemExit` or `KeyboardInterrupt` of a handler ends the run, too. Cancelling it drains as
        well.

        Raises:
            InvalidOptionsError: No handler is registered.
            ComponentNotFoundError, UnsupportedDirectionError, InvalidSettingsError: A binding with a handler
                cannot be subscribed to.
            BindwrightError: Something settled could not be recorded; it will be delivered again.
        """
        drain = seconds("drain", drain)
        over = asyncio.Event()
        self._over = asyncio.get_running_loop(), over
        with STOP_SIGNALS.heard_by(self.stop):
            try:
                await self.start()
                if not self._stopped:
                    await over.wait()
            finally:
                self._over = None
                await self.close(drain)

    def stop(self) -> None:
        """Let `run()` drain and return. For handlers, other tasks and other threads; does not wait."""
        self._stopped = True
        self._end_run()

    def _end_run(self) -> None:
        if self._over is not None:
            loop, over = self._over
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)

    async def components(self) -> list[ComponentInfo]:
        """All components in scope and how they are, by name. A sidecar is asked.

        Raises:
            BindwrightError: The sidecar could not be asked.
        """
        loop, tasks = self._here()
        known = await cancelling(tasks, tasks.components(loop, self._native))
        return component_infos(known)

    def faults(self) -> list[BindwrightError]:
        """Documents that were left out and settings that look wrong, as errors that were not raised."""
        return self._native.faults()

    def add_component(self, text: str) -> list[str]:
        """Add the components of a YAML text for this client only; see `bindwright.Client.add_component`."""
        return self._native.add_component(text)

    def remove_component(self, name: str) -> None:
        """Remove a component for this client only; see `bindwright.Client.remove_component`."""
        self._native.remove_component(name)

    async def ready(self, timeout: _Seconds = 30.0) -> None:  # noqa: ASYNC109 - core knows what is not ready
        """Open every component that can send and wait until each works; see `bindwright.Client.ready`.

        Raises:
            BindwrightError: The error of the first component that failed.
            UnavailableError, BindingTimeoutError: `timeout` was over before that.
        """
        loop, tasks = self._here()
        await cancelling(tasks, tasks.ready(loop, self._native, timeout))

    async def reload(self) -> Reload:
        """Look at the resource files now, instead of within two seconds, and apply what they say.

        Raises:
            InvalidOptionsError: Hot reload is off.
        """
        loop, tasks = self._here()
        return Reload(*await cancelling(tasks, tasks.reload(loop, self._native)))

    async def close(self, drain: _Seconds = 10.0) -> None:
        """Receive no more events, wait up to `drain` for handlers, record what was settled and disconnect.

        Handlers that still run after that are cancelled. Closing twice is fine.

        Raises:
            InvalidOptionsError: Called in a handler, for which it would wait; `stop()` is for that.
            BindwrightError: Something settled could not be recorded; it will be delivered again.
            SystemExit, KeyboardInterrupt: A handler raised it.
        """
        handlings, task = list(self._handling.values()), asyncio.current_task()
        if any(handling.runs(task) for handling in handlings):
            what = "close() in a handler would wait for that handler"
            _handlers.refuse(what, "Call stop(), and close the client where it was opened.")
        loop, tasks = self._here()
        try:
            await cancelling(tasks, tasks.close(loop, self._native, drain))
        finally:
            for handling in handlings:
                await handling.end()
        for handling in handlings:
            failure, handling.failure = handling.failure, None
            if failure is not None:
                raise failure

    @property
    def transport(self) -> str:
        """The way that was chosen: `"embedded"`, `"sidecar-grpc"` or `"sidecar-http"`."""
        return self._native.transport

    async def _subscribe(self, name: str, hand_out: Literal["events", "batches", "freely"]) -> Subscription:
        loop, tasks = self._here()
        return await cancelling(tasks, tasks.subscribe(loop, self._native, name, hand_out))

    def _here(self) -> tuple[asyncio.AbstractEventLoop, LoopTasks]:
        """The running loop and the calls that wait on it."""
        loop, at = asyncio.get_running_loop(), self._at
        if at is None or at[0] is not loop:
            at = self._at = (loop, tasks_of(loop))
        return at

    async def __aenter__(self) -> Self:
        if self._wait is not None:
            try:
                await self.ready(self._wait_timeout)
            except BaseException:
                await self.close(0.0)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Client of asyncio, {self.transport}>"
