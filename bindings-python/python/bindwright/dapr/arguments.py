"""What the SDK's arguments and variables mean without a sidecar; for both kinds of client, and `App`."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, NoReturn

from bindwright._handlers import refuse
from bindwright.dapr.messages import BindingResponse, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bindwright import Reply
    from bindwright.dapr.messages import MetadataTuple

DEFAULT_TIMEOUT = 30.0
"""Seconds of a call where `DAPR_API_TIMEOUT_SECONDS` is not set; the SDK has no limit then."""

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


def warn_of_wait(caller: int) -> None:
    """Say that there is nothing to wait for, as the SDK says that it is not needed any more."""
    warnings.warn(
        "wait: there is no sidecar to wait for; leave the call out", DeprecationWarning, stacklevel=caller + 1
    )


def refuse_attribute(owner: object, name: str, has: str) -> NoReturn:
    """Raise `AttributeError`: the SDK may have this name, this module has bindings only."""
    kind = type(owner).__name__
    raise AttributeError(
        f"{kind!r} object has no attribute {name!r}: bindwright.dapr has bindings only ({has}); "
        "use the official SDK and its sidecar for the rest",
        name=name,
        obj=owner,
    )
