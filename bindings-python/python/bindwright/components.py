"""What a client says about its components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bindwright.errors import BindwrightError

_State = Literal["idle", "connecting", "ready", "degraded", "failed"]
_LedgerParts = tuple[int | None, float | None, float | None]
_Parts = tuple[
    str, str, str, bool, bool, _State, "BindwrightError | None", _LedgerParts | None, _LedgerParts | None
]


@dataclass(frozen=True)
class Ledger:
    """How often something is attempted at most, and how long that takes; all that retries, counted together.

    * `attempts`: the most deliveries of an event, or attempts of a call, the first one included; `None` for
      no limit.
    * `longest`: seconds from the first attempt to the end of the last one, with all pauses at their longest
      and every attempt as long as its time-out allows; `None` where one of them has no limit.
    * `pauses`: seconds of all pauses at their longest; `None` where attempts have no limit.
    """

    attempts: int | None
    longest: float | None
    pauses: float | None


def _ledger(parts: _LedgerParts | None) -> Ledger | None:
    return None if parts is None else Ledger(*parts)


@dataclass(frozen=True)
class ComponentInfo:
    """What a component can do, and how it is.

    * `name`: the name that calls use.
    * `type`, `version`: `spec.type` and `spec.version`, in lower case.
    * `input`, `output`: whether it can be subscribed to, and whether it can be invoked.
    * `state`: how it is, the worse of its output and of what is subscribed to it. `"idle"`: not used yet;
      `"connecting"`: opened, and the backend has not answered yet; `"ready"`; `"degraded"`: something keeps
      it from working fully, such as a lost connection or an event that ran out of deliveries; `"failed"`: its
      document is wrong, or the backend did not answer within `initTimeout` and is tried again.
    * `error`: why it cannot be used, or the last error of its connection; else `None`.

    A sidecar does not tell how components are: `state` is `"ready"` for all that it has loaded, and `error`,
    `redelivery` and `retries` are `None`.
    * `redelivery`: how often an event of it is delivered at most; `None` for what does not receive.
    * `retries`: how often a call of it is attempted at most, within the call's own deadline; `None` for what
      does not send.
    """

    name: str
    type: str
    version: str
    input: bool
    output: bool
    state: _State
    error: BindwrightError | None
    redelivery: Ledger | None
    retries: Ledger | None


def component_infos(components: Iterable[_Parts]) -> list[ComponentInfo]:
    """What a native client tells of its components."""
    return [
        ComponentInfo(*one[:7], redelivery=_ledger(one[7]), retries=_ledger(one[8])) for one in components
    ]


@dataclass(frozen=True)
class Reload:
    """What a look at the resource files changed.

    * `added`, `changed`, `removed`: names of components, by name.
    * `faults`: all that is wrong with the files as they are now, as errors that were not raised. What a
      faulty document described before stays as it was.
    """

    added: list[str]
    changed: list[str]
    removed: list[str]
    faults: list[BindwrightError]
