"""Invocations while brokers are killed: what was acknowledged is in the topic, once.

Three brokers, three copies of each record, two of which must be written. Threads call with `invoke_many` and
`invoke_binding`; brokers are killed (SIGKILL) and restarted in turn. The calls have 120 s, so that none may fail.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import scenario
from components import kafka_document, write_document
from kafka import KafkaCluster
from ledger import Figures, Sent, compare
from sending import TIMEOUT_SECONDS, Pace, Senders, wait_until
from topic_reader import read_topics

from bindwright import Client

TOPIC = "invocations"
PARTITIONS = 12


@dataclass(frozen=True)
class Plan:
    invocations: int
    kills: int
    per_second: int


SHORT = Plan(invocations=20_000, kills=1, per_second=4_000)
LONG = Plan(invocations=1_000_000, kills=5, per_second=25_000)


def measure(plan: Plan) -> Figures:
    sent = Sent(plan.invocations)
    with KafkaCluster(brokers=3, fast_start=True) as cluster, tempfile.TemporaryDirectory() as folder:
        cluster.create_topic(TOPIC, PARTITIONS)
        write_document(Path(folder), "orders", kafka_document("orders", cluster.bootstrap, TOPIC))
        pace = Pace(plan.invocations, plan.per_second, gate=0)
        with Client(folder) as client, Senders(client, "orders", sent, pace):
            for number in range(plan.kills):
                _kill_and_restart(cluster, number, plan, pace, sent)
        stored = read_topics(cluster.bootstrap, [TOPIC], plan.invocations)
    comparison = compare(sent, stored)
    figures = Figures(
        sent=sent.count_asked(),
        acknowledged=sent.count_acknowledged(),
        handled=None,
        lost=comparison.lost,
        duplicated=comparison.duplicated,
        longest_stall_ms=sent.longest_call * 1000,
        special={
            "brokers killed": plan.kills,
            "failed calls": dict(sent.errors),
            "in the topic": stored.records,
            "there without being acknowledged": comparison.unanswered_but_stored,
            "wrong receipts": comparison.wrong_receipts,
        },
    )
    figures.expect_stored(sent, comparison)
    figures.expect_no_failed_call(sent)
    figures.expect(figures.sent == plan.invocations, f"only {figures.sent} of {plan.invocations} were sent")
    return figures


def _kill_and_restart(cluster: KafkaCluster, number: int, plan: Plan, pace: Pace, sent: Sent) -> None:
    """One slice of the numbers goes out over it: a part before, a part meanwhile, a part after."""
    size = plan.invocations // plan.kills
    begin = number * size
    pace.open_gate(plan.invocations if number == plan.kills - 1 else begin + size)
    wait_until(lambda: pace.given >= begin + size // 5, "the calls before the kill", TIMEOUT_SECONDS)
    broker = number % len(cluster.brokers) + 1
    cluster.kill(broker)
    # Half of the slice: the partitions that it led have been taken over by then.
    half = begin + size // 2
    wait_until(lambda: sent.count_acknowledged() >= half, "calls without the broker", TIMEOUT_SECONDS)
    cluster.start(broker)


if __name__ == "__main__":
    sys.exit(scenario.main("invocations", SHORT, LONG, measure))
