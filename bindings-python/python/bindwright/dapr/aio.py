"""The SDK's client for asyncio, as far as bindings go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from bindwright.aio import Client
from bindwright.dapr import arguments
from bindwright.dapr.messages import NO_METADATA, BindingRequest, BindingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from bindwright.dapr.messages import MetadataTuple

__all__ = ["BindingRequest", "BindingResponse", "DaprClient"]


class DaprClient:
    """Calls bindings with the names and arguments of `dapr.aio.clients.DaprClient`.

    In this process or through a sidecar, as `bindwright.dapr.DaprClient` does. Its arguments are those of
    that client, without `retry_policy`.

    Raises:
        InvalidOptionsError: `interceptors` are refused, the folder of components is missing, or
            `DAPR_API_TIMEOUT_SECONDS` is no number.
        InvalidManifestError: Two components have one name.

    Example:
        >>> async with DaprClient() as client:
        ...     response = await client.invoke_binding("checkout", "create", '{"orderId": 1}')
    """

    __slots__ = ("__weakref__", "_client")

    def __init__(
        self,
        address: str | None = None,
        headers_callback: Callable[[], dict[str, str]] | None = None,  # noqa: ARG002
        interceptors: Sequence[object] | None = None,
        http_timeout_seconds: int | None = None,  # noqa: ARG002
        max_grpc_message_length: int | None = None,
    ) -> None:
        arguments.refuse_what_would_be_missed(interceptors)
        way = arguments.way(address, max_grpc_message_length)
        self._client = Client(timeout=arguments.call_timeout(), **way)

    async def invoke_binding(
        self,
        binding_name: str,
        operation: str,
        data: bytes | str = "",
        binding_metadata: Mapping[str, str] = NO_METADATA,
        metadata: MetadataTuple | None = None,
    ) -> BindingResponse:
        """Run one operation of a binding; returns after the backend confirmed it.

        Everything is as in `bindwright.dapr.DaprClient.invoke_binding`. Cancelling the task cancels the call.

        Raises:
            TypeError: `data` is neither bytes nor text.
            BindwrightError: The call failed; `bindwright.errors` has a class for each code.
        """
        together = arguments.call_metadata(binding_metadata, metadata, caller=2)
        return arguments.response(
            await self._client.invoke_binding(binding_name, operation, arguments.body(data), together)
        )

    async def wait(self, timeout_s: float) -> None:
        """Wait for the sidecar, as `bindwright.dapr.DaprClient.wait` does.

        Raises:
            UnavailableError: It cannot be reached within `timeout_s` seconds.
        """
        through_sidecar = self._client.transport != "embedded"
        arguments.warn_of_wait(through_sidecar, caller=2)
        if through_sidecar:
            await self._client.ready(timeout_s)

    async def close(self) -> None:
        """Disconnect, unless other clients use the same connections. Closing twice is fine."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    if not TYPE_CHECKING:  # type checkers tell of names that are not there by themselves

        def __getattr__(self, name: str) -> NoReturn:
            arguments.refuse_attribute(self, name, "invoke_binding, wait, close")
