"""What all rows share: how much is measured, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from servers import Broker

PAYLOAD = b"x" * 100
BINDING = "checkout"


@dataclass(frozen=True)
class Size:
    """How often, and how many."""

    rounds: int = 5
    calls: int = 2_000
    bulk: int = 100_000
    list_length: int = 1_000
    events: int = 600_000
    event_rounds: int = 5
    keyed: int = 40_000
    awaited: int = 60_000
    awaited_keyed: int = 12_000
    events_awaited: int = 200_000
    in_core: int = 100_000
    events_served: int = 100_000
    wrk_seconds: float = 5


QUICK = Size(
    rounds=1,
    calls=50,
    bulk=2_000,
    list_length=200,
    events=2_000,
    event_rounds=1,
    keyed=500,
    awaited=1_000,
    awaited_keyed=500,
    events_awaited=1_000,
    in_core=1_000,
    events_served=1_000,
    wrk_seconds=1,
)


@dataclass(frozen=True)
class Plan:
    """A broker, and how much to ask of it."""

    size: Size
    broker: Broker
    programs: dict[str, Path]
    filled: dict[int, str] = field(default_factory=dict)
    """Topics that hold so many events already."""
