"""What the consumer processes log, and what follows from it: repeats of each kill, order, stalls.

The clock is the same in all processes (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# When (ns), offset, number, partition, kind.
RECORD = struct.Struct("<qqqii")
HANDLED, FAILED = 0, 1
ONE_FAILS_ONCE_OF = 50


def fails_once(number: int) -> bool:
    return number % ONE_FAILS_ONCE_OF == 1


def fails_for_ever(number: int, of: int) -> bool:
    return of > 0 and number % of == 7


@dataclass(frozen=True)
class Entry:
    at: int
    offset: int
    number: int
    partition: int
    kind: int
    process: str


class EventLogs:
    """The files of all processes, dead ones too."""

    def __init__(self, folder: Path, total: int) -> None:
        self._folder = folder
        self._read: dict[Path, int] = defaultdict(int)
        self.entries: list[Entry] = []
        self.handled = bytearray(total)
        self.count_handled = 0
        # Numbers that are none: payloads that changed on their way.
        self.altered = 0

    def look(self) -> None:
        """Reads what was written since the last look; half a record is left for the next one."""
        for path in self._folder.glob("*.log"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                data = file.read()
            whole = len(data) - len(data) % RECORD.size
            self._read[path] += whole
            for at, offset, number, partition, kind in RECORD.iter_unpack(data[:whole]):
                self._note(Entry(at, offset, number, partition, kind, path.stem))

    def _note(self, entry: Entry) -> None:
        if not 0 <= entry.number < len(self.handled):
            self.altered += 1
            return
        self.entries.append(entry)
        if entry.kind == HANDLED and not self.handled[entry.number]:
            self.handled[entry.number] = 1
            self.count_handled += 1


@dataclass
class Findings:
    repeated: int = 0
    # By number of the kill and partition.
    of_kill: Counter[tuple[int, int]] = field(default_factory=Counter)
    not_of_a_kill: int = 0
    out_of_order: int = 0
    # How often a partition went on in another process.
    moved: int = 0
    longest_stall_ns: int = 0
    failed_deliveries: int = 0

    def most_of_a_kill(self) -> int:
        return max(self.of_kill.values(), default=0)


@dataclass(frozen=True)
class Kill:
    at: int
    process: str


def examine(entries: list[Entry], kills: list[Kill], available_since: Callable[[int], int]) -> Findings:
    """`available_since` tells when (ns) the number's part of the load began."""
    findings = Findings()
    handlings: dict[int, Entry] = {}
    last: dict[int, Entry] = {}
    times = [kill.at for kill in kills]
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.kind == FAILED:
            findings.failed_deliveries += 1
            continue
        before = last.get(entry.partition)
        since = max(available_since(entry.number), before.at if before else 0)
        findings.longest_stall_ns = max(findings.longest_stall_ns, entry.at - since)
        findings.moved += before is not None and before.process != entry.process
        last[entry.partition] = entry
        earlier = handlings.get(entry.number)
        handlings[entry.number] = entry
        if earlier is not None:
            findings.repeated += 1
            killed = _kill_between(earlier, entry, kills, times)
            if killed is None:
                findings.not_of_a_kill += 1
            else:
                findings.of_kill[killed, entry.partition] += 1
    findings.out_of_order = _count_out_of_order(entries)
    return findings


def _kill_between(earlier: Entry, later: Entry, kills: list[Kill], times: list[int]) -> int | None:
    """The kill of the process that handled the event first, between the two handlings."""
    for at in range(bisect_left(times, earlier.at), len(kills)):
        if kills[at].at > later.at:
            return None
        if kills[at].process == earlier.process:
            return at
    return None


def _count_out_of_order(entries: list[Entry]) -> int:
    """First handlings that came after the first handling of a later offset of their partition."""
    seen: set[int] = set()
    highest: dict[int, int] = {}
    count = 0
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.kind == FAILED or entry.number in seen:
            continue
        seen.add(entry.number)
        count += entry.offset < highest.get(entry.partition, -1)
        highest[entry.partition] = max(entry.offset, highest.get(entry.partition, -1))
    return count
