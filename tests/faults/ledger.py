"""Counts what was sent and what became of it: the one place that decides what is lost and what is there twice."""

from __future__ import annotations

import operator
import threading
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from bindwright import BindwrightError, Reply

# No text in any encoding, so that a package or a policy that decodes it on the way is found out.
_TAIL = b"\x00\xff\xfe\r\n\x80"


def payload(number: int) -> bytes:
    return b"%d " % number + _TAIL


def number_of(data: bytes | None) -> int:
    """The number in a payload; -1 when it is not, byte for byte, what was sent."""
    head = (data or b"").partition(b" ")[0]
    number = int(head) if head.isdigit() else -1
    return number if number >= 0 and data == payload(number) else -1


def json_payload(number: int) -> bytes:
    """What a component gets by the HTTP API: JSON written anew, with what has to be escaped."""
    return b'{"number":%d,"text":"\\u003c\xc3\xbc\\u003e"}' % number


def number_of_json(data: bytes | None) -> int:
    """The number in a payload of JSON; -1 when it is not, byte for byte, what was sent."""
    head = (data or b"").partition(b",")[0].removeprefix(b'{"number":')
    number = int(head) if head.isdigit() else -1
    return number if number >= 0 and data == json_payload(number) else -1


NUMBER_OF = {"bytes": number_of, "json": number_of_json}


class Sent:
    """What the calls said: one byte for each number."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked = bytearray(total)
        self.acknowledged = bytearray(total)
        # What each receipt said; -1 where there was none.
        self.offsets = array("q", [-1]) * total
        self.partitions = array("i", [-1]) * total
        # The topic that the newest receipt named.
        self.topic = ""
        self.errors: Counter[str] = Counter()
        self.longest_call = 0.0
        self._lock = threading.Lock()

    def note(self, numbers: range, results: list[Reply | BindwrightError], seconds: float) -> None:
        """For any thread: the results of one call, in the order of its numbers."""
        failed: Counter[str] = Counter()
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, BindwrightError):
                failed[result.code] += 1
                continue
            receipt = result.metadata
            self.partitions[number] = int(receipt.get("partition", -1))
            self.offsets[number] = int(receipt.get("offset", -1))
            self.topic = receipt.get("topic", "")
            self.acknowledged[number] = 1
        with self._lock:
            self.errors += failed
            self.longest_call = max(self.longest_call, seconds)

    def count_asked(self) -> int:
        return self.asked.count(1)

    def count_acknowledged(self) -> int:
        return self.acknowledged.count(1)


@dataclass
class Stored:
    """What a consumer that is not ours found in a topic."""

    copies: bytearray
    # Where each number was found first.
    offsets: array[int]
    partitions: array[int]
    records: int = 0
    altered: int = 0

    @classmethod
    def nothing(cls, total: int) -> Stored:
        return cls(bytearray(total), array("q", [-1]) * total, array("i", [-1]) * total)

    def note(self, partition: int, offset: int, number: int) -> None:
        self.records += 1
        if not 0 <= number < len(self.copies):
            self.altered += 1
            return
        if not self.copies[number]:
            self.partitions[number], self.offsets[number] = partition, offset
        self.copies[number] = min(255, self.copies[number] + 1)

    def numbers(self) -> set[int]:
        return {number for number, copies in enumerate(self.copies) if copies}


@dataclass(frozen=True)
class Comparison:
    """Calls beside the topic."""

    lost: int
    duplicated: int
    altered: int
    unasked: int
    # Calls that failed, or were never answered, whose record is there all the same.
    unanswered_but_stored: int
    wrong_receipts: int


def compare(sent: Sent, stored: Stored) -> Comparison:
    lost = duplicated = unasked = unanswered = wrong = 0
    for number in range(sent.total):
        copies, acknowledged = stored.copies[number], sent.acknowledged[number]
        lost += bool(acknowledged and not copies)
        duplicated += max(0, copies - 1)
        unasked += bool(copies and not sent.asked[number])
        unanswered += bool(copies and not acknowledged)
        if acknowledged and copies == 1 and sent.offsets[number] >= 0:
            there = (stored.partitions[number], stored.offsets[number])
            wrong += there != (sent.partitions[number], sent.offsets[number])
    return Comparison(lost, duplicated, stored.altered, unasked, unanswered, wrong)


class Handled:
    """What handlers of this process saw; for any thread."""

    def __init__(self, total: int) -> None:
        self.times = bytearray(total)
        self.altered = 0
        self.out_of_order = 0
        self.distinct = 0
        self.longest_gap = 0.0
        # When the last event came.
        self.at = time.monotonic()
        self._last: dict[str, int] = defaultdict(lambda: -1)
        self._lock = threading.Lock()

    def note(self, data: bytes | None, partition: str, offset: int) -> None:
        number = number_of(data)
        with self._lock:
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self.at)
            self.at = now
            if not 0 <= number < len(self.times):
                self.altered += 1
                return
            if not self.times[number]:
                self.distinct += 1
                self.out_of_order += offset < self._last[partition]
                self._last[partition] = offset
            self.times[number] = min(255, self.times[number] + 1)

    def begin(self) -> None:
        """Gaps count from here."""
        with self._lock:
            self.at, self.longest_gap = time.monotonic(), 0.0

    def count_repeated(self) -> int:
        return sum(times - 1 for times in self.times if times)

    def count_missing(self, sent: Sent) -> int:
        """Acknowledged and never handled."""
        return sum(map(operator.gt, sent.acknowledged, self.times))


@dataclass
class Figures:
    """One line of the table, and what it says about the guarantees."""

    sent: int
    acknowledged: int
    handled: int | None
    lost: int
    duplicated: int
    longest_stall_ms: float
    special: dict[str, object] = field(default_factory=dict)
    # Guarantees that did not hold, in words.
    broken: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)

    def expect_stored(self, sent: Sent, comparison: Comparison) -> None:
        """What every scenario promises about calls; those that failed are the scenario's to judge."""
        self.expect(comparison.lost == 0, f"{comparison.lost} acknowledged records are not in the topic")
        self.expect(comparison.duplicated == 0, f"{comparison.duplicated} records are in the topic twice")
        self.expect(comparison.altered == 0, f"{comparison.altered} records are not what was sent")
        self.expect(comparison.unasked == 0, f"{comparison.unasked} records are there that nobody sent")
        self.expect(comparison.wrong_receipts == 0, f"{comparison.wrong_receipts} receipts name another place")

    def expect_no_failed_call(self, sent: Sent) -> None:
        self.expect(not sent.errors, f"calls failed that had time to succeed: {dict(sent.errors)}")
        unanswered = sent.count_asked() - sent.count_acknowledged() - sent.errors.total()
        self.expect(unanswered == 0, f"{unanswered} calls were never answered")
