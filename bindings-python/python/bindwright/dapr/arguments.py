"""What the SDK's arguments and variables mean here; for both kinds of client, and `App`."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, NoReturn, TypedDict, cast

from bindwright._handlers import refuse
from bindwright.dapr.messages import BindingResponse, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bindwright import Reply
    from bindwright.client import Transport
    from bindwright.dapr.messages import MetadataTuple

DEFAULT_TIMEOUT = 30.0
"""Seconds of a call where `DAPR_API_TIMEOUT_SECONDS` is not set; the SDK has no limit then."""

# Where a sidecar is, as `dapr run`, `bindwright run` and Kubernetes tell it.
_OF_A_SIDECAR = ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", "DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT")
# The SDK's own defaults.
_GRPC_PORT, _APP_PORT = "50001", "3010"

_TRACE_CONTEXT = ("traceparent", "tracestate")

# The limits of gRPC's messages and its compression, which nothing here has.
_HARMLESS = {"options", "compression"}


def refuse_what_would_be_missed(interceptors: object, retry_policy: object = None) -> None:
    """Refuse arguments of a client that change what its calls do."""
    if interceptors:
        refuse("interceptors: there is no gRPC here to intercept", "Leave the argument out.")
    if retry_policy is not None:
        refuse(
            "retry_policy: retries are not the client's here",
            "Describe them in a Resiliency document beside the components, and leave the argument out.",
        )


def refuse_server_arguments(arguments: Mapping[str, object]) -> None:
    """Refuse arguments of `grpc.server` that change how handlers run."""
    for name in arguments.keys() - _HARMLESS:
        refuse(
            f"{name}: there is no gRPC server here",
            "Leave the argument out. How many threads run a handler, `bindwright.Client.binding` can say.",
        )


class Way(TypedDict):
    """Arguments of a client that say how it reaches bindings."""

    transport: Transport
    sidecar_endpoint: str | None
    max_message_size: int | None
    app_port: int | None


def way(address: str | None = None, max_message: int | None = None) -> Way:
    """Return the way to the bindings.

    `BINDWRIGHT_TRANSPORT` decides. Without it, it is a sidecar over gRPC, which is what the SDK speaks, where
    the environment names a sidecar; else the process itself. An address alone decides nothing: programs give
    the usual one although nobody may listen there.
    """
    named = os.environ.get("BINDWRIGHT_TRANSPORT", "").strip().lower()
    if not named:
        named = "sidecar-grpc" if any(os.environ.get(one) for one in _OF_A_SIDECAR) else "embedded"
    endpoint = None
    if named == "sidecar-grpc":
        host = os.environ.get("DAPR_RUNTIME_HOST")
        endpoint = address or os.environ.get("DAPR_GRPC_ENDPOINT") or None
        if endpoint is None and host:
            endpoint = f"{host}:{os.environ.get('DAPR_GRPC_PORT') or _GRPC_PORT}"
    return Way(
        # Whether there is such a one the client says.
        transport=cast("Transport", named),
        sidecar_endpoint=endpoint,
        max_message_size=max_message or None,
        app_port=None,
    )


def app_port(given: int | None) -> int:
    """Return the port on which a sidecar finds an `App`."""
    if given is not None:
        return given
    text = os.environ.get("GRPC_APP_PORT") or os.environ.get("APP_PORT") or _APP_PORT
    try:
        return int(text)
    except ValueError:
        refuse(f"GRPC_APP_PORT or APP_PORT: expected a port, got {text!r}", "Correct the variable.")


def call_timeout() -> float:
    """Seconds that a call may take, as the environment says."""
    text = os.environ.get("DAPR_API_TIMEOUT_SECONDS")
    if not text:
        return DEFAULT_TIMEOUT
    try:
        return float(text)
    except ValueError:
        refuse(f"DAPR_API_TIMEOUT_SECONDS: expected seconds, got {text!r}", "Correct the variable.")


def body(data: bytes | str) -> bytes | None:
    """Return what is sent: empty data is none at all, on Kafka a tombstone, as through the sidecar."""
    return to_bytes(data) or None


def call_metadata(
    binding_metadata: Mapping[str, str] | None, metadata: MetadataTuple | None, caller: int
) -> dict[str, str]:
    """Return the metadata of a call; of gRPC's own, which the SDK deprecated, only the trace context stays.

    `caller` is how many frames above this function the program's call stands.
    """
    together = dict(binding_metadata or {})
    if metadata is not None:
        warnings.warn(
            "metadata: only traceparent and tracestate are used; leave the argument out",
            DeprecationWarning,
            stacklevel=caller + 1,
        )
        for name, value in metadata:
            if name.lower() in _TRACE_CONTEXT:
                together[name.lower()] = value if isinstance(value, str) else value.decode("ascii")
    return together


def response(reply: Reply) -> BindingResponse:
    """Return a reply in the SDK's form."""
    return BindingResponse(reply.data or b"", reply.metadata)


def warn_of_wait(through_sidecar: bool, caller: int) -> None:
    """Say that nobody needs to wait, as the SDK does."""
    why = "calls wait for the sidecar themselves" if through_sidecar else "there is no sidecar to wait for"
    warnings.warn(f"wait: {why}; leave the call out", DeprecationWarning, stacklevel=caller + 1)


def refuse_attribute(owner: object, name: str, has: str) -> NoReturn:
    """Raise `AttributeError`: the SDK may have this name, this module has bindings only."""
    kind = type(owner).__name__
    raise AttributeError(
        f"{kind!r} object has no attribute {name!r}: bindwright.dapr has bindings only ({has}); "
        "use the official SDK and its sidecar for the rest",
        name=name,
        obj=owner,
    )
