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
    """Calls bindings in this process, with the names and arguments of `dapr.aio.clients.DaprClient`.

    Its arguments are those of `bindwright.dapr.DaprClient`, without `retry_policy`.

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
        address: str | None = None,  # noqa: ARG002
        headers_callback: Callable[[], dict[str, str]] | None = None,  # noqa: ARG002
        interceptors: Sequence[object] | None = None,
        http_timeout_seconds: int | None = None,  # noqa: ARG002
        max_grpc_message_length: int | None = None,  # noqa: ARG002
    ) -> None:
        arguments.refuse_what_would_be_missed(interceptors)
        self._client = Client(timeout=arguments.call_timeout())

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

    async def wait(self, timeout_s: float) -> None:  # noqa: ARG002
        """Return at once, with a `DeprecationWarning`: there is no sidecar to wait for."""
        arguments.warn_of_wait(caller=2)

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
