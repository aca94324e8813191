"""Rounds of two or more peers that take turns, and what is said about them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Figures = dict[str, float]
"""What one round gave: names such as `rate` or `p50`, and numbers."""

OURS = "bindwright"
WARM_UP_CALLS = 200


@dataclass(frozen=True)
class Target:
    """What a figure of ours has to keep to: times the peer's where there is one, else as it is."""

    kind: Literal["at most", "at least"]
    value: float
    unit: str = "×"

    def is_met_by(self, value: float) -> bool:
        return value <= self.value if self.kind == "at most" else value >= self.value

    def __str__(self) -> str:
        sign = "≤" if self.kind == "at most" else "≥"
        return f"{sign} {self.value:g} {self.unit}"


@dataclass
class Row:
    """One line of the table."""

    name: str
    unit: str
    compared: str
    """The figure that the ratio is taken of."""
    shown: Sequence[str]
    rounds: Mapping[str, list[Figures]]
    """By peer; ours is `OURS`. Of several variants of a peer the best one counts."""
    target: Target | None = None
    limits: Mapping[str, Target] = field(default_factory=dict)
    """Further targets for figures of ours, without a peer."""
    note: str = ""

    def medians(self, peer: str) -> Figures:
        rounds = self.rounds[peer]
        return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}

    def peer(self) -> str | None:
        """The best peer, or the best variant of one."""
        peers = [peer for peer in self.rounds if peer != OURS]
        best = min if self._less_is_better() else max
        return best(peers, key=lambda peer: self.medians(peer)[self.compared]) if peers else None

    def ratio(self) -> float | None:
        peer = self.peer()
        return self.medians(OURS)[self.compared] / self.medians(peer)[self.compared] if peer else None

    def ratio_range(self) -> tuple[float, float] | None:
        """The smallest and the largest ratio of two neighbouring rounds."""
        peer = self.peer()
        if peer is None:
            return None
        pairs = zip(self.rounds[OURS], self.rounds[peer], strict=True)
        ratios = [ours[self.compared] / theirs[self.compared] for ours, theirs in pairs]
        return min(ratios), max(ratios)

    def verdicts(self) -> list[tuple[Target, bool]]:
        """Every target, and whether it is met."""
        ours = self.medians(OURS)
        verdicts = []
        if self.target is not None:
            ratio = self.ratio()
            verdicts.append(
                (self.target, self.target.is_met_by(ours[self.compared] if ratio is None else ratio))
            )
        verdicts += [(limit, limit.is_met_by(ours[key])) for key, limit in self.limits.items()]
        return verdicts

    def _less_is_better(self) -> bool:
        return self.compared != "rate"


@dataclass(frozen=True)
class Skipped:
    """A line of the table without figures."""

    name: str
    why: str
    failed: bool = False


def take_turns(
    rounds: int, peers: Mapping[str, Callable[[], Figures]], *, warm_up: bool = True
) -> dict[str, list[Figures]]:
    """A B A B …, so that what the machine does meanwhile hits all of them. First turns are a warm-up."""
    taken: dict[str, list[Figures]] = {peer: [] for peer in peers}
    for number in range(rounds + warm_up):
        for peer, measure in peers.items():
            figures = measure()
            if number >= warm_up:
                taken[peer].append(figures)
    return taken


def one_by_one(calls: int, call: Callable[[], object]) -> Figures:
    """Times each of so many blocking calls, after some to warm up."""
    for _ in range(min(WARM_UP_CALLS, calls)):
        call()
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return percentiles(seconds)


def percentiles(seconds: Sequence[float]) -> Figures:
    """Of the times of single calls, in microseconds."""
    ordered = sorted(seconds)

    def part(of_hundred: int) -> float:
        return ordered[min(len(ordered) * of_hundred // 100, len(ordered) - 1)] * 1e6

    return {"p50": part(50), "p90": part(90), "p99": part(99)}
