"""The same load again and again in a fresh process: threads, descriptors and memory do not grow.

Every repetition opens a client on a folder of its own, so that nothing is shared with the one before, sends, receives
what it sent and closes. Repetitions come in blocks; after each block the process gets the time to settle.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import footprint
import scenario
from components import PATIENT, kafka_document, write_document
from footprint import Footprint
from kafka import KafkaCluster
from ledger import Figures, Handled, Sent, compare
from receiving import receiving
from sending import Pace, Senders, wait_while_moving
from topic_reader import read_topics

from bindwright import Client

TOPIC = "footprint"
PARTITIONS = 6
# Between the second block and the last; with two blocks only, between them: the first one also fills the allocator's
# stock. In the long form that is a million and a half of records in 30 repetitions, so that 3 bytes of each record or
# 140 KiB of each client would be more.
MEMORY_BOUND_MIB = 4.0
# glibc gives every thread a heap of its own to take from, up to 8 for each processor, and a heap with one page in use
# stays. With new threads in each repetition that looks like a leak for a long time (10 MiB in 30 of them); with
# one heap what grows is what somebody holds.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Plan:
    records: int
    repetitions: int
    blocks: int


SHORT = Plan(records=2_000, repetitions=3, blocks=2)
LONG = Plan(records=50_000, repetitions=10, blocks=5)


@dataclass
class Totals:
    sent: int = 0
    acknowledged: int = 0
    handled: int = 0
    lost: int = 0
    duplicated: int = 0
    longest_call: float = 0.0


def measure(plan: Plan) -> Figures:
    totals = Totals()
    after: list[Footprint] = []
    figures = Figures(0, 0, 0, 0, 0, 0.0)
    with KafkaCluster(fast_start=True, properties=PATIENT) as cluster:
        before = footprint.at_rest()
        for block in range(plan.blocks):
            for repetition in range(plan.repetitions):
                _repeat(cluster, f"{TOPIC}-{block}-{repetition}", plan.records, totals, figures)
            after.append(footprint.settled(before))
    figures.sent, figures.acknowledged, figures.handled = totals.sent, totals.acknowledged, totals.handled
    figures.lost, figures.duplicated = totals.lost, totals.duplicated
    figures.longest_stall_ms = totals.longest_call * 1000
    warm = after[1] if len(after) > 2 else after[0]
    grown = after[-1].memory_mib - warm.memory_mib
    figures.special = {
        "repetitions": plan.blocks * plan.repetitions,
        "threads after each block": [now.threads for now in after],
        "descriptors after each block": [now.descriptors for now in after],
        "MiB after each block": [round(now.memory_mib, 1) for now in after],
        "MiB grown": round(grown, 1),
    }
    for number, now in enumerate(after, 1):
        same = (now.threads, now.descriptors) == (before.threads, before.descriptors)
        figures.expect(same, f"block {number}: threads or descriptors stayed: {now}, before {before}")
    figures.expect(grown <= MEMORY_BOUND_MIB, f"repetitions grew by {grown:.1f} MiB, more than {MEMORY_BOUND_MIB}")
    return figures


def _repeat(cluster: KafkaCluster, topic: str, records: int, totals: Totals, figures: Figures) -> None:
    cluster.create_topic(topic, PARTITIONS)
    sent, handled = Sent(records), Handled(records)
    with tempfile.TemporaryDirectory() as folder:
        document = kafka_document("orders", cluster.bootstrap, topic, consumerGroup=topic)
        write_document(Path(folder), "orders", document)
        with Client(folder) as client, receiving(client, "orders", handled):
            with Senders(client, "orders", sent, Pace(records, per_second=1e9), singles=2):
                pass
            wait_while_moving(lambda: handled.count_missing(sent))
    comparison = compare(sent, read_topics(cluster.bootstrap, [topic], records))
    figures.expect_stored(sent, comparison)
    figures.expect_no_failed_call(sent)
    missing, repeated = handled.count_missing(sent), handled.count_repeated()
    figures.expect(missing == 0, f"{topic}: {missing} events were not handled")
    figures.expect(repeated == 0, f"{topic}: {repeated} events were handled again")
    totals.sent += sent.count_asked()
    totals.acknowledged += sent.count_acknowledged()
    totals.handled += handled.distinct
    totals.lost += comparison.lost + missing
    totals.duplicated += comparison.duplicated + repeated
    totals.longest_call = max(totals.longest_call, sent.longest_call)


if __name__ == "__main__":
    if not ONE_HEAP.items() <= os.environ.items():
        # Read by the C library when the process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_HEAP)
    sys.exit(scenario.main("footprint", SHORT, LONG, measure))
