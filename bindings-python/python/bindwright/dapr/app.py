"""The SDK's application, as far as bindings go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NoReturn, TypeVar

from bindwright._handlers import check_handler
from bindwright._native import Outcome
from bindwright.client import Client
from bindwright.dapr import arguments
from bindwright.dapr.messages import BindingRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from bindwright._native import Event
    from bindwright.dapr.messages import MetadataTuple

_Handler = TypeVar("_Handler", bound="Callable[[BindingRequest], object]")

_logger = logging.getLogger("bindwright.dapr")


class App:
    """Runs handlers of bindings, in this process or through a sidecar, with the names of `dapr.ext.grpc.App`.

    Making one reads nothing and connects to nothing; `run` does. `max_grpc_message_length` is the largest
    event through a sidecar, in bytes. Of what the SDK passes on to `grpc.server`, `options` and `compression`
    are not used; the rest is refused.

    Raises:
        InvalidOptionsError: An argument is refused.

    Example:
        >>> app = App()
        >>> @app.binding("orders")
        ... def on_order(request: BindingRequest) -> None:
        ...     print(request.text())
        >>> app.run()  # until SIGTERM, Ctrl-C or app.stop()
    """

    def __init__(self, max_grpc_message_length: int | None = None, **kwargs: object) -> None:
        arguments.refuse_server_arguments(kwargs)
        self._max_message = max_grpc_message_length
        self._handlers: dict[str, Callable[[BindingRequest], object]] = {}
        self._client: Client | None = None
        self._stopped = False

    def binding(self, name: str) -> Callable[[_Handler], _Handler]:
        """Decorate the function that handles the events of the binding `name`; `run` starts it.

        Returning settles the event, and what is returned does not count, unless it is a `bindwright.Outcome`.
        Raising has the event delivered again, before everything that follows it in its partition.

        Raises:
            ValueError: The binding has a handler already.
            InvalidOptionsError: The function is `async` or a generator.
        """

        def register(func: _Handler) -> _Handler:
            check_handler(name, func)
            if name in self._handlers:
                raise ValueError(f"{name}: the binding has a handler already")
            self._handlers[name] = func
            return func

        return register

    def run(self, app_port: int | None = None, listen_address: str | None = None) -> None:
        """Run the handlers until SIGTERM, Ctrl-C or `stop()`; then finish what was begun, for 10 s at most.

        Where the environment names a sidecar, it delivers the events to `app_port` (else `GRPC_APP_PORT`,
        else `APP_PORT`, else 3010), which is opened on `APP_CHANNEL_ADDRESS`, else 127.0.0.1.
        `listen_address` is not used, nor is `app_port` without a sidecar.

        Raises:
            InvalidOptionsError: No handler is registered, or the folder of components is missing.
            BindwrightError: A binding cannot be subscribed to, or something settled could not be recorded.
        """
        way = arguments.way(None, self._max_message)
        if way["transport"] != "embedded":
            way["app_port"] = arguments.app_port(app_port)
            if listen_address is not None:
                _logger.debug("listen_address is not used: APP_CHANNEL_ADDRESS says where the port is opened")
        elif app_port is not None or listen_address is not None:
            _logger.debug("app_port and listen_address are not used: events come inside the process")
        with Client(**way) as client:
            for name, handler in self._handlers.items():
                client.binding(name)(_adapted(handler))
            # Whichever of run and stop comes second sees what the other one said.
            self._client = client
            if self._stopped:
                client.stop()
            client.run()

    def stop(self) -> None:
        """Let `run` finish what was begun and return. For other threads and for handlers; does not wait."""
        self._stopped = True
        if self._client is not None:
            self._client.stop()

    if not TYPE_CHECKING:  # type checkers tell of names that are not there by themselves

        def __getattr__(self, name: str) -> NoReturn:
            arguments.refuse_attribute(self, name, "binding, run, stop")


def _adapted(handler: Callable[[BindingRequest], object]) -> Callable[[Event], Outcome | None]:
    def on_event(event: Event) -> Outcome | None:
        request = BindingRequest(event.data or b"", event.metadata)
        request.metadata = _trace_context(event)
        answer = handler(request)
        return answer if isinstance(answer, Outcome) else None

    return on_event


def _trace_context(event: Event) -> MetadataTuple:
    pairs = (("traceparent", event.traceparent), ("tracestate", event.tracestate))
    return tuple((name, value) for name, value in pairs if value is not None)
