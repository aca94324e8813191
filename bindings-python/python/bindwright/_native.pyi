"""The native part; private. Names may change at any time: use the package `bindwright`."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from bindwright.errors import BindwrightError

_Seconds: TypeAlias = float | timedelta
_Redelivery: TypeAlias = tuple[int | None, float | None, float | None]
_Component: TypeAlias = tuple[str, str, str, bool, bool, BindwrightError | None, _Redelivery | None]

__all__ = [
    "DEFAULT_DRAIN",
    "DEFAULT_TIMEOUT",
    "ERROR_CODES",
    "VERSION",
    "DevBroker",
    "Emission",
    "Event",
    "Events",
    "NativeClient",
    "Outcome",
    "Reply",
    "Subscription",
    "run_command",
]

VERSION: Final[str]
DEFAULT_TIMEOUT: Final[float]
DEFAULT_DRAIN: Final[float]
ERROR_CODES: Final[list[tuple[str, str]]]

@final
class Reply:
    @property
    def data(self) -> bytes | None: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    def text(self) -> str: ...
    def json(self) -> object: ...

@final
class Event:
    @property
    def binding(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def attempt(self) -> int: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def tracestate(self) -> str | None: ...
    def text(self) -> str: ...
    def json(self) -> object: ...
    def ack(self) -> bool: ...
    def retry(self, after: _Seconds | None = None) -> bool: ...
    def drop(self) -> bool: ...
    def dead_letter(self, cause: BaseException | str | None = None) -> bool: ...
    def emit(self, *emissions: Emission) -> bool: ...

@final
class Emission:
    def __new__(
        cls,
        binding: str,
        data: object = b"",
        operation: str = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> Self: ...
    @property
    def binding(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def operation(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]: ...

@final
class Outcome:
    ACK: Final[Outcome]
    RETRY: Final[Outcome]
    DROP: Final[Outcome]
    DEAD_LETTER: Final[Outcome]
    @staticmethod
    def retry(after: _Seconds | None = None) -> Outcome: ...
    @staticmethod
    def dead_letter(cause: BaseException | str | None = None) -> Outcome: ...
    @staticmethod
    def emit(*emissions: Emission) -> Outcome: ...

@final
class Events:
    def close(self, drain: _Seconds | None = None) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None: ...

@final
class Subscription:
    def run_batch(self, handler: Callable[..., object], most: int, /) -> bool: ...
    def flush(self) -> None: ...
    def lanes_waiting(self) -> int: ...
    def load(self) -> tuple[int, float]: ...
    def stop(self) -> None: ...

@final
class NativeClient:
    def __new__(
        cls,
        resources: Sequence[str | os.PathLike[str]] | None,
        app_id: str | None,
        transport: str | None,
        timeout: _Seconds | None,
        /,
    ) -> Self: ...
    def invoke(
        self,
        name: str,
        operation: str,
        data: object,
        metadata: Mapping[str, str] | None,
        timeout: _Seconds | None,
        /,
    ) -> Reply: ...
    def invoke_many(
        self,
        name: str,
        operation: str,
        payloads: Iterable[object],
        metadata: Mapping[str, str] | Sequence[Mapping[str, str] | None] | None,
        timeout: _Seconds | None,
        /,
    ) -> list[Reply | BindwrightError]: ...
    def subscribe(self, name: str, together: bool, /) -> Subscription: ...
    def events(self, name: str, /) -> Events: ...
    def components(self) -> list[_Component]: ...
    def faults(self) -> list[BindwrightError]: ...
    def close(self, drain: _Seconds | None, /) -> None: ...
    @property
    def transport(self) -> str: ...

@final
class DevBroker:
    def __new__(cls, port: int = 0) -> Self: ...
    @property
    def bootstrap(self) -> str: ...
    def close(self) -> None: ...

def run_command(arguments: Sequence[str | os.PathLike[str]], /) -> int: ...
