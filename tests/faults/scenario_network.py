"""A bad network: delay, resets, half-open connections, a black-out; sending and receiving go on meanwhile.

All connections to the one broker go through `proxy.py`. One process sends, and receives what it sent.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import scenario
from components import PATIENT, kafka_document, write_document
from kafka import KafkaCluster
from ledger import Comparison, Figures, Handled, Sent, compare
from network import Network
from ports import free_ports
from receiving import receiving
from sending import Pace, Senders, wait_until, wait_while_moving
from topic_reader import read_topics

from bindwright import Client

TOPIC = "network"
PARTITIONS = 6
LATENCY_MS = 50
MAX_UNCOMMITTED = 500
PATIENCE_SECONDS = 120.0

SETTINGS = {
    "consumerGroup": "network",
    "maxUncommitted": str(MAX_UNCOMMITTED),
    # After how long without an answer a connection counts as dead. A half-open one stalls that long, so the default
    # of 60 s would be most of this scenario.
    "readTimeout": "5s",
}


@dataclass(frozen=True)
class Plan:
    per_second: int
    # Seconds of a phase.
    phase: float
    resets: int
    half_opens: int
    black_out: float


SHORT = Plan(per_second=2_000, phase=2.0, resets=4, half_opens=1, black_out=5.0)
LONG = Plan(per_second=5_000, phase=10.0, resets=20, half_opens=3, black_out=30.0)


@dataclass
class Traffic:
    """What goes on while the network is bad."""

    sent: Sent
    handled: Handled
    pace: Pace
    # The longest gap in receiving, phase by phase.
    gaps_ms: dict[str, int] = field(default_factory=dict)
    # Live connections that a fault hit.
    hit: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Ends when a record that was sent after its last fault has gone all the way."""
        self.handled.begin()
        yield
        number = min(self.pace.given, self.sent.total - 1)
        wait_until(lambda: b"\1" in self.handled.times[number:], f"events after {name}", PATIENCE_SECONDS)
        self.gaps_ms[name] = round(self.handled.longest_gap * 1000)


def measure(plan: Plan) -> Figures:
    # More than the faults take: they end the load.
    total = int(plan.per_second * 40 * (plan.phase + plan.black_out))
    sent, handled = Sent(total), Handled(total)
    (port,) = free_ports(1)
    with (
        KafkaCluster(advertise_port=port, fast_start=True, properties=PATIENT) as cluster,
        Network(port, cluster.brokers[1].port) as network,
        tempfile.TemporaryDirectory() as folder,
    ):
        cluster.create_topic(TOPIC, PARTITIONS)
        write_document(Path(folder), "orders", kafka_document("orders", cluster.bootstrap, TOPIC, **SETTINGS))
        with Client(folder) as client, receiving(client, "orders", handled):
            traffic = Traffic(sent, handled, Pace(total, plan.per_second))
            with Senders(client, "orders", sent, traffic.pace):
                _make_faults(plan, network, traffic)
                traffic.pace.stop()
            wait_while_moving(lambda: handled.count_missing(sent))
        stored = read_topics(f"127.0.0.1:{cluster.brokers[1].port}", [TOPIC], total)
    return _figures(plan, traffic, compare(sent, stored))


def _make_faults(plan: Plan, network: Network, traffic: Traffic) -> None:
    with traffic.phase("no fault"):
        time.sleep(plan.phase)
    with traffic.phase("latency"):
        network.tell(f"latency {LATENCY_MS}")
        time.sleep(plan.phase)
        network.tell("latency 0")
    with traffic.phase("resets"):
        for _ in range(plan.resets):
            traffic.hit["reset"] += network.tell("reset")
            time.sleep(plan.phase / plan.resets)
    for number in range(1, plan.half_opens + 1):
        with traffic.phase(f"half-open {number}"):
            traffic.hit["half-open"] += network.tell("half-open")
    with traffic.phase("black-out"):
        traffic.hit["black-out"] += network.tell("black-out on")
        time.sleep(plan.black_out)
        network.tell("black-out off")


def _figures(plan: Plan, traffic: Traffic, comparison: Comparison) -> Figures:
    sent, handled = traffic.sent, traffic.handled
    missing = handled.count_missing(sent)
    repeated = handled.count_repeated()
    figures = Figures(
        sent=sent.count_asked(),
        acknowledged=sent.count_acknowledged(),
        handled=handled.distinct,
        lost=comparison.lost + missing,
        duplicated=comparison.duplicated + repeated,
        longest_stall_ms=max(sent.longest_call * 1000, *traffic.gaps_ms.values()),
        special={
            "latency ms each way": LATENCY_MS,
            "connections reset": traffic.hit["reset"],
            "connections half-open": traffic.hit["half-open"],
            "black-out s": plan.black_out,
            "failed calls": dict(sent.errors),
            "longest call ms": round(sent.longest_call * 1000),
            "longest gap in receiving ms": traffic.gaps_ms,
            "duplicated in the topic": comparison.duplicated,
            "handled again": repeated,
            "out of order": handled.out_of_order,
        },
    )
    figures.expect_stored(sent, comparison)
    figures.expect_no_failed_call(sent)
    for fault in ("reset", "half-open", "black-out"):
        figures.expect(traffic.hit[fault] > 0, f"{fault}: no connection was hit, so that nothing was tried")
    figures.expect(figures.sent < sent.total, "the load ended before the faults did")
    figures.expect(missing == 0, f"{missing} events were not handled")
    figures.expect(handled.altered == 0, f"{handled.altered} events are not what was sent")
    figures.expect(handled.out_of_order == 0, f"{handled.out_of_order} events were handled out of order")
    # Each break may cost the consumer its place in the group, and then what it had not committed.
    bound = MAX_UNCOMMITTED * PARTITIONS * (plan.resets + plan.half_opens + 1)
    figures.expect(repeated <= bound, f"{repeated} events were handled again, more than {bound}")
    return figures


if __name__ == "__main__":
    sys.exit(scenario.main("network", SHORT, LONG, measure))
