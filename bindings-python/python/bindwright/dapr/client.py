"""The SDK's blocking client, as far as bindings go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from bindwright.client import Client
from bindwright.dapr import arguments
from bindwright.dapr.messages import NO_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from bindwright.dapr.messages import BindingResponse, MetadataTuple


class DaprClient:
    """Calls bindings with the names and arguments of `dapr.clients.DaprClient`.

    Opening one reads the component documents and connects to nothing. Clients share their connections, so
    one for each message is fine. It may be shared between threads, not with a forked child process.

    Where the environment names a sidecar, as under `dapr run`, calls go through it, over gRPC, unless
    `BINDWRIGHT_TRANSPORT` says otherwise; else they are made in this process.

    * `address`: where the sidecar is, if calls go through one over gRPC; else not used.
    * `max_grpc_message_length`: bytes of the largest message through a sidecar, in both directions.
    * `headers_callback`, `http_timeout_seconds`: not used; the SDK takes them for `invoke_method`.
    * `interceptors`, `retry_policy`: refused. Retries stand in a Resiliency document.

    Raises:
        InvalidOptionsError: An argument is refused, the folder of components is missing, or
            `DAPR_API_TIMEOUT_SECONDS` is no number.
        InvalidManifestError: Two components have one name.

    Example:
        >>> with DaprClient() as client:
        ...     response = client.invoke_binding("checkout", "create", '{"orderId": 1}')
        ...     response.binding_metadata["offset"]
        '0'
    """

    __slots__ = ("__weakref__", "_client")

    def __init__(
        self,
        address: str | None = None,
        headers_callback: Callable[[], dict[str, str]] | None = None,  # noqa: ARG002
        interceptors: Sequence[object] | None = None,
        http_timeout_seconds: int | None = None,  # noqa: ARG002
        max_grpc_message_length: int | None = None,
        retry_policy: object | None = None,
    ) -> None:
        arguments.refuse_what_would_be_missed(interceptors, retry_policy)
        way = arguments.way(address, max_grpc_message_length)
        self._client = Client(timeout=arguments.call_timeout(), **way)

    def invoke_binding(
        self,
        binding_name: str,
        operation: str,
        data: bytes | str = "",
        binding_metadata: Mapping[str, str] = NO_METADATA,
        metadata: MetadataTuple | None = None,
    ) -> BindingResponse:
        """Run one operation of a binding; returns after the backend confirmed it.

        `data` is sent verbatim when it is bytes and as UTF-8 when it is text. Empty data is no data, on Kafka
        a tombstone, as through a sidecar. `binding_metadata` is for the component, such as `partitionKey`.
        `metadata` is deprecated, as in the SDK; of it only `traceparent` and `tracestate` are used.

        Raises:
            TypeError: `data` is neither bytes nor text.
            BindwrightError: The call failed; `bindwright.errors` has a class for each code.
        """
        together = arguments.call_metadata(binding_metadata, metadata, caller=2)
        return arguments.response(
            self._client.invoke_binding(binding_name, operation, arguments.body(data), together)
        )

    def wait(self, timeout_s: float) -> None:
        """Wait for the sidecar, with a `DeprecationWarning`: calls wait for it themselves.

        Without a sidecar it returns at once.

        Raises:
            UnavailableError: It cannot be reached within `timeout_s` seconds.
        """
        through_sidecar = self._client.transport != "embedded"
        arguments.warn_of_wait(through_sidecar, caller=2)
        if through_sidecar:
            self._client.ready(timeout_s)

    def close(self) -> None:
        """Disconnect, unless other clients use the same connections. Closing twice is fine."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # type checkers tell of names that are not there by themselves

        def __getattr__(self, name: str) -> NoReturn:
            arguments.refuse_attribute(self, name, "invoke_binding, wait, close")
