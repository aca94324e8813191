"""The blocking client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from sys import modules as _modules
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from bindwright import _handlers, _logs, _tracing
from bindwright._native import Event, Events, NativeClient, Outcome, Reply, seconds
from bindwright.components import ComponentInfo, Reload, component_infos

if TYPE_CHECKING:
    from types import TracebackType

    from bindwright.errors import BindwrightError

Seconds = float | timedelta
"""A time span: seconds as a number, or a `timedelta`."""

Metadata = Mapping[str, str]
"""Names and values for a component, as its documentation lists them."""

Transport = Literal["embedded", "sidecar-grpc", "sidecar-http"]
"""The way to the bindings: inside this process, or through a sidecar."""

_Handler = TypeVar("_Handler", bound=Callable[[Event], object])

_BatchHandler = TypeVar(
    "_BatchHandler", bound=Callable[[list[Event]], Outcome | Sequence[Outcome | None] | None]
)


class Client:
    """Calls bindings and receives events, in this process or through a sidecar.

    Opening a client reads the component documents and connects to nothing: a component is opened when it is
    first used. Clients of the same resources and app id share their connections, so opening one for every
    message is fine. A client may be shared between threads, not with a forked child process.

    Through a sidecar (Dapr's, or `bindwright serve`) the documents are the sidecar's. Then each client has
    connections of its own, so one client is to live as long as the program.

    What is left out comes from the environment:

    * `resources`: folders or files with component documents. Else `BINDWRIGHT_RESOURCES` (a list separated as
      in `PATH`), else `./components`, else `./resources`.
    * `app_id`: the name that `scopes` of documents are compared with. Else `APP_ID`.
    * `transport`: the way to the bindings, `"embedded"`, `"sidecar-grpc"` or `"sidecar-http"`. Else embedded
      where `resources` is given; else `BINDWRIGHT_TRANSPORT`; else gRPC where `sidecar_endpoint`,
      `DAPR_GRPC_ENDPOINT` or `DAPR_GRPC_PORT` names a sidecar, HTTP where only `DAPR_HTTP_ENDPOINT` or
      `DAPR_HTTP_PORT` does; else embedded.
    * `timeout`: how long a call waits when it does not say, in seconds or as a `timedelta`.
    * `hot_reload`: whether components follow changes of their documents while the program runs. Else
      `BINDWRIGHT_HOT_RELOAD` (`true` or `false`), else yes.

    Through a sidecar these count, too:

    * `sidecar_endpoint`: where it listens, such as `"127.0.0.1:50001"`, `"https://host:443"` or
      `"unix:/run/dapr.sock"`; for HTTP a URL or a socket. Else `DAPR_GRPC_ENDPOINT`, `DAPR_GRPC_PORT` or
      50001; for HTTP `DAPR_HTTP_ENDPOINT`, `DAPR_HTTP_PORT` or 3500.
    * `sidecar_token`: the token that it asks for. Else `DAPR_API_TOKEN`.
    * `sidecar_ca`: a file (PEM) with the certificates of the authorities to trust instead of this machine's.
      Else `BINDWRIGHT_SIDECAR_CA`.
    * `max_message_size`: bytes of the largest message, in both directions. Else `BINDWRIGHT_MAX_MESSAGE_SIZE`
      or `DAPR_GRPC_MAX_INBOUND_MESSAGE_SIZE_BYTES`, else 4 MiB.
    * `max_retries`: how often a call whose connection broke is made again although it may have taken effect;
      below 0 until the deadline. Else `DAPR_API_MAX_RETRIES`, else 0.
    * `app_port`: the port on which this program takes events. Else `APP_PORT`.
    * `app_token`: the token that events must show. Else `APP_API_TOKEN`, else none.

    With `wait="ready"` opening does connect: it waits, for up to `wait_timeout`, until every component that
    can send works; see `ready`. When that fails, the client is closed again.

    Raises:
        InvalidOptionsError: A folder is missing, or an argument or a variable cannot be used.
        InvalidManifestError: Two components have one name. A fault in one document does not keep the others
            from being used: see `faults()`.
        BindwrightError: With `wait="ready"`, what `ready` raises.

    Example:
        >>> with Client(resources="./components") as client:
        ...     reply = client.invoke_binding("checkout", "create", {"orderId": 1})
        ...     reply.metadata["offset"]
        '0'
    """

    __slots__ = ("__weakref__", "_handlers", "_loop", "_native", "_stopped")

    def __init__(
        self,
        resources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        *,
        app_id: str | None = None,
        timeout: Seconds = 30.0,
        hot_reload: bool | None = None,
        wait: Literal["ready"] | None = None,
        wait_timeout: Seconds = 30.0,
        transport: Transport | None = None,
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
        self._loop: _handlers.Loop | None = None
        self._stopped = False
        if wait not in (None, "ready"):
            _handlers.refuse(f'wait: expected "ready" or None, got {wait!r}', "Correct the argument.")
        if wait == "ready":
            try:
                self._native.ready(wait_timeout)
            except BaseException:
                self._native.close(0.0)
                raise

    def invoke_binding(
        self,
        name: str,
        operation: str,
        data: object = b"",
        metadata: Metadata | None = None,
        timeout: Seconds | None = None,
    ) -> Reply:
        """Run one operation of the binding `name`; returns after the backend confirmed it.

        `data` is sent verbatim when it is bytes-like and as UTF-8 when it is text; anything else is sent as
        compact JSON. Left out it is empty, which is not the same as `None`: `None` is no data at all, a
        tombstone on Kafka. `timeout` bounds the whole call, connecting included; without one the client's
        counts. In a handler, the event's trace context goes with the call unless `metadata` has a
        `traceparent`; where the program uses OpenTelemetry, the call is a span below the current one, and its
        context goes along.

        Raises:
            ComponentNotFoundError, UnsupportedDirectionError, UnsupportedOperationError, InvalidRequestError,
            PayloadTooLargeError: Nothing was sent, and the same call would fail again.
            BindingTimeoutError, UnavailableError, QueueFullError: The time was over before anything was sent.
            OutcomeUnknownError: The time was over afterwards; the data may or may not have arrived.
            BindwrightError: Any other code, as the backend's answer asks for; see `bindwright.errors`.
        """
        # Looked up here: without it a call is not worth a context manager.
        if "opentelemetry.trace" in _modules:
            with _tracing.invocation(name, operation, metadata):
                return self._native.invoke(name, operation, data, metadata, timeout)
        return self._native.invoke(name, operation, data, metadata, timeout)

    def invoke_many(
        self,
        name: str,
        operation: str,
        payloads: Iterable[object],
        metadata: Metadata | Sequence[Metadata | None] | None = None,
        timeout: Seconds | None = None,
    ) -> list[Reply | BindwrightError]:
        """Run one operation for many payloads at once; one result for each, in their order.

        A payload that could not be sent has its error in its place; that error is not raised. `payloads` are
        treated like `data` in `invoke_binding`. `metadata` is one mapping for all of them, or a sequence with
        one for each. `timeout` is for all of them together.

        Raises:
            BindwrightError: What concerns all of them, such as `ComponentNotFoundError`.
        """
        with _tracing.invocation(name, operation, metadata) as call:
            results = self._native.invoke_many(name, operation, payloads, metadata, timeout)
            call.results(results)
        return results

    @overload
    def binding(
        self, name: str, *, workers: int | None = None, batch: None = None
    ) -> Callable[[_Handler], _Handler]: ...

    @overload
    def binding(
        self, name: str, *, workers: int | None = None, batch: int
    ) -> Callable[[_BatchHandler], _BatchHandler]: ...

    def binding(
        self, name: str, *, workers: int | None = None, batch: int | None = None
    ) -> Callable[[Any], Any]:
        """Decorate the function that handles the events of the binding `name`; `run` or `start` starts it.

        Returning from it settles the event: it does not come again. Raising has it delivered again, after a
        pause and before everything that follows it in its partition; the exception is logged by the logger
        `bindwright`. After `maxDeliveryCount` deliveries (a setting of the component) it becomes a dead
        letter, which tells the exception's class and text. It may return an `Outcome` to say something else.
        Events of a partition come one after the other, partitions in parallel: while a handler is slow and
        partitions wait, its threads grow from one to `workers`, 16 when left out.

        With `batch` it gets a `list[Event]` instead: as many as there are at the moment, up to `batch`, from
        several partitions. It returns `None` (all are acked), one `Outcome` for all, or a sequence with
        an entry (`Outcome` or `None`) for each in their order. When it raises, or returns anything else, all
        are delivered again. Events can also be settled one by one inside; the first settlement counts. Events
        of a partition stand in their order, and nothing more of these partitions comes until the batch is
        settled; but an event that failed comes again after those that were handled with it. Where that
        matters, handle events one by one.

        Raises:
            InvalidOptionsError: The binding has a handler already, the function is `async` or a generator, or
                a number is less than 1.
            BindwrightError: After `start()`, when a handler begins at once: what `start` raises.
        """
        most = _handlers.DEFAULT_WORKERS if workers is None else workers
        if most < 1:
            _handlers.refuse(f"workers: expected at least 1, got {most}", "Allow at least one thread.")
        _handlers.check_batch(batch)

        def register(handler: _Handler) -> _Handler:
            _handlers.check_handler(name, handler)
            _handlers.register(self._handlers, name, _handlers.Registration(handler, most, batch))
            if self._loop is not None:
                try:
                    self._loop.begin(name)
                except BaseException:
                    del self._handlers[name]
                    raise
            return handler

        return register

    def events(self, name: str) -> Events:
        """Receive the events of the binding `name` one by one, settling each yourself.

        The iterator waits for the next event and ends when it or the client is closed:

        >>> with client.events("orders") as events:
        ...     for event in events:
        ...         print(event.json())
        ...         event.ack()

        An event that is not settled comes again when the program starts again; settling it counts for as long
        as the iterator is in use. A backend that is down is no
        error: its events come when it is back.

        Raises:
            ComponentNotFoundError, UnsupportedDirectionError, InvalidSettingsError: No events come from it.
        """
        return self._native.events(name)

    def run(self, drain: Seconds = 10.0) -> None:
        """Run the registered handlers until SIGTERM, SIGINT (Ctrl-C) or `stop()`; then drain and close.

        Draining means: no more events are begun, and those that were begun have up to `drain` (seconds or a
        `timedelta`). What is not settled by then comes again. Returns normally after a signal; a second one
        ends the drain. Signals are heeded only when this is called in the main thread. A `SystemExit` or
        `KeyboardInterrupt` of a handler ends the run, too, and is raised here. Handlers see the context
        variables (`contextvars`) that are set where this is called.

        Raises:
            InvalidOptionsError: No handler is registered.
            ComponentNotFoundError, UnsupportedDirectionError, InvalidSettingsError: A binding with a handler
                cannot be subscribed to.
            BindwrightError: Something settled could not be recorded; it will be delivered again.
        """
        drain = seconds("drain", drain)
        self._prepare().run(lambda: self.close(drain))

    def start(self) -> None:
        """Start the registered handlers in threads of their own and return; `close()` drains and ends them.

        For programs whose main thread does something else, such as serve HTTP:

        >>> with Client(resources="./components") as client:
        ...     client.binding("orders")(on_order)
        ...     client.start()
        ...     serve()

        Handlers that are registered later begin at once; starting twice is fine. Handlers see the context
        variables (`contextvars`) that are set where this is first called. Signals are left to the program.
        Threads do not survive a fork: start in the process that is to handle events. A `SystemExit` or
        `KeyboardInterrupt` of a handler ends all handlers of the client; it is logged, and raised by `close`.

        Raises:
            InvalidOptionsError: No handler is registered.
            ComponentNotFoundError, UnsupportedDirectionError, InvalidSettingsError: A binding with a handler
                cannot be subscribed to; handlers that were registered before it have begun.
        """
        self._prepare().start()

    def _prepare(self) -> _handlers.Loop:
        if not self._handlers:
            _handlers.refuse("no handler is registered", "Decorate one with `@client.binding(name)` first.")
        if self._loop is None or self._loop.is_closed:
            self._loop = _handlers.Loop(self._native, self._handlers)
            if self._stopped:
                self._loop.stop()
        return self._loop

    def stop(self) -> None:
        """Let `run()` drain and return; after `start()`, begin no more events. Does not wait.

        For other threads and for handlers.
        """
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()

    def components(self) -> list[ComponentInfo]:
        """All components in scope and how they are, by name. A sidecar is asked.

        Raises:
            BindwrightError: The sidecar could not be asked.
        """
        return component_infos(self._native.components())

    def ready(self, timeout: Seconds = 30.0) -> None:
        """Open every component that can send and wait until each works; so do inputs somebody subscribed to.

        Inputs that nobody subscribed to stay closed and do not count, nor do components whose documents say
        `ignoreErrors: true` once they failed. The client stays usable when this raises: what is not ready yet
        goes on connecting.

        Raises:
            BindwrightError: The error of the first component that failed: its document is wrong, or its
                backend did not answer within its `initTimeout` (5 s when the document does not say).
            UnavailableError, BindingTimeoutError: `timeout` was over before that.
        """
        self._native.ready(timeout)

    def add_component(self, text: str) -> list[str]:
        """Add the components of a YAML text, all or none of them, and return their names.

        They belong to this client only, take precedence over components of the same name in the files, and
        are closed with the client. What is subscribed to such a name follows.

        Raises:
            InvalidManifestError, InvalidSettingsError, UnknownTypeError: As for files; also when this client
                added the name before, or when the text has no component for this app.
        """
        return self._native.add_component(text)

    def remove_component(self, name: str) -> None:
        """Remove a component that was added, or hide one of the files from this client.

        Calls under way finish; subscriptions wait for the name to come back.

        Raises:
            ComponentNotFoundError: No component has this name.
        """
        self._native.remove_component(name)

    def reload(self) -> Reload:
        """Look at the resource files now, instead of within two seconds, and apply what they say.

        It counts for all clients of the same resources and app id. What is wrong with the files is not
        raised: see `Reload.faults`.

        Raises:
            InvalidOptionsError: Hot reload is off.
        """
        return Reload(*self._native.reload())

    def faults(self) -> list[BindwrightError]:
        """Documents that were left out and settings that look wrong, as errors that were not raised."""
        return self._native.faults()

    def close(self, drain: Seconds = 10.0) -> None:
        """Receive no more events, wait up to `drain` for handlers, record what was settled and disconnect.

        Calls that are under way finish on their own. Closing twice is fine.

        Raises:
            BindwrightError: Something settled could not be recorded; it will be delivered again.
            SystemExit, KeyboardInterrupt: A handler raised it after `start()`.
        """
        if self._loop is None:
            self._native.close(drain)
        else:
            self._loop.close(drain)

    @property
    def transport(self) -> str:
        """The way that was chosen: `"embedded"`, `"sidecar-grpc"` or `"sidecar-http"`."""
        return self._native.transport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client, {self.transport}>"
