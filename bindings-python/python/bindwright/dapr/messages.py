"""What `DaprClient.invoke_binding` returns, and what handlers of `App` get."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from collections.abc import Mapping

MetadataTuple = tuple[tuple[str, str | bytes], ...]
"""Names and values, a name as often as it has values."""

MetadataDict = dict[str, list[str | bytes]]
"""All values of each name."""

NO_METADATA: Mapping[str, str] = MappingProxyType({})


def to_bytes(data: object) -> bytes:
    """Return bytes as they are and text as UTF-8; refuse everything else."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    raise TypeError(
        f"data: expected bytes or str, got {type(data).__name__}; "
        "encode it first, or use bindwright.Client, which takes more"
    )


def _by_name(pairs: MetadataTuple) -> MetadataDict:
    names: MetadataDict = {}
    for name, value in pairs:
        names.setdefault(name, []).append(value)
    return names


class BindingRequest:
    """An event, as a handler of `App` gets it.

    * `data`: the body; empty when the event has none.
    * `binding_metadata`: what the component tells of the event, for Kafka `topic`, `offset`, `key` and so on.
    * `metadata`: the trace context that came with the event, `traceparent` and `tracestate`, each name with a
      list of values. The SDK has the sidecar's gRPC metadata here.

    A test can make one itself: `on_order(BindingRequest('{"orderId": 1}'))`.

    Raises:
        TypeError: `data` is neither bytes nor text.
    """

    __slots__ = ("_binding_metadata", "_data", "_metadata")

    def __init__(self, data: str | bytes, binding_metadata: Mapping[str, str] = NO_METADATA) -> None:
        self._data = to_bytes(data)
        self._binding_metadata = dict(binding_metadata)
        self._metadata: MetadataTuple = ()

    @property
    def data(self) -> bytes:
        """The body; empty when the event has none."""
        return self._data

    @data.setter
    def data(self, value: str | bytes) -> None:
        self._data = to_bytes(value)

    def text(self) -> str:
        """Return the body as text.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        return self._data.decode()

    @property
    def binding_metadata(self) -> dict[str, str]:
        """What the component tells of the event."""
        return self._binding_metadata

    @property
    def metadata(self) -> MetadataDict:
        """The trace context that came with the event."""
        return _by_name(self._metadata)

    @metadata.setter
    def metadata(self, value: MetadataTuple) -> None:
        if not isinstance(value, tuple):
            raise ValueError(f"metadata: expected a tuple of pairs, got {type(value).__name__}")  # noqa: TRY004
        self._metadata = value

    @overload
    def get_metadata(self, as_dict: Literal[True]) -> MetadataDict: ...

    @overload
    def get_metadata(self, as_dict: Literal[False] = False) -> MetadataTuple: ...

    @overload
    def get_metadata(self, as_dict: bool) -> MetadataDict | MetadataTuple: ...

    def get_metadata(self, as_dict: bool = False) -> MetadataDict | MetadataTuple:
        """Return `metadata` as a tuple of pairs, or by name."""
        return self.metadata if as_dict else self._metadata


class BindingResponse:
    """What a binding answered.

    * `data`: the body of the answer; empty when there is none.
    * `binding_metadata`: what the component tells of it, for Kafka `topic`, `partition` and `offset`.
    * `headers`: always empty. The SDK has the sidecar's gRPC headers here.

    Raises:
        TypeError: `data` is neither bytes nor text.
    """

    __slots__ = ("_binding_metadata", "_data", "_headers")

    def __init__(
        self,
        data: bytes | str,
        binding_metadata: Mapping[str, str] = NO_METADATA,
        headers: MetadataTuple = (),
    ) -> None:
        self._data = to_bytes(data)
        self._binding_metadata = dict(binding_metadata)
        self._headers = headers

    @property
    def data(self) -> bytes:
        """The body of the answer; empty when there is none."""
        return self._data

    @data.setter
    def data(self, value: bytes | str) -> None:
        self._data = to_bytes(value)

    def text(self) -> str:
        """Return the body as text.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        return self._data.decode()

    # Any, as the SDK's own users expect: they index what comes.
    def json(self) -> Any:
        """Return the body as the value that its JSON says.

        Raises:
            json.JSONDecodeError: It is not JSON; also when it is empty.
        """
        return json.loads(self.text())

    @property
    def binding_metadata(self) -> dict[str, str]:
        """What the component tells of the answer."""
        return self._binding_metadata

    @property
    def headers(self) -> MetadataDict:
        """Empty; the SDK has the sidecar's gRPC headers here."""
        return _by_name(self._headers)

    @headers.setter
    def headers(self, value: MetadataTuple) -> None:
        self._headers = value

    @overload
    def get_headers(self, as_dict: Literal[True]) -> MetadataDict: ...

    @overload
    def get_headers(self, as_dict: Literal[False] = False) -> MetadataTuple: ...

    @overload
    def get_headers(self, as_dict: bool) -> MetadataDict | MetadataTuple: ...

    def get_headers(self, as_dict: bool = False) -> MetadataDict | MetadataTuple:
        """Return `headers` as a tuple of pairs, or by name."""
        return self.headers if as_dict else self._headers
