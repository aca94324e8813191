"""Events through `bindwright serve`, to an application over HTTP and to one over gRPC, while everything is killed.

Two servers, each with an application of its own and a topic of twelve partitions. Programs call their HTTP API. In each
round a part of the events is sent, and while they flow one fault comes: both applications are killed (kill -9), both
servers are killed, the broker is killed, the broker stands still for longer than the group waits. 2 % of the events
fail once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import scenario
from components import PATIENT, kafka_document, write_document
from event_log import EventLogs, Findings, examine
from kafka import KafkaCluster
from ledger import Figures, Sent, Stored, compare
from sending import Pace, wait_while_moving
from serve_app import BINDING
from serving import Callers, Pair, command
from topic_reader import read_topics

KINDS = ("http", "grpc")
PARTITIONS = 12
MAX_UNCOMMITTED = 500
# How long nothing may come until it counts as lost: a broker that was killed comes back slowly on a busy machine.
QUIET_SECONDS = 90.0
# Longer than the group waits for somebody who does not answer.
STANDSTILL_SECONDS = 5.0
SETTINGS = {
    "maxUncommitted": str(MAX_UNCOMMITTED),
    "sessionTimeout": "3s",
    "heartbeatInterval": "500ms",
    # The pause before a failed event comes again.
    "consumeRetryEnabled": "true",
    "backOffDuration": "10ms",
}


@dataclass(frozen=True)
class Plan:
    events: int
    repetitions: int


SHORT = Plan(events=6_000, repetitions=1)
LONG = Plan(events=200_000, repetitions=3)

Fault = Callable[[KafkaCluster, list[Pair]], None]


def kill_apps(_: KafkaCluster, pairs: list[Pair]) -> None:
    for pair in pairs:
        pair.kill_app()


def kill_servers(_: KafkaCluster, pairs: list[Pair]) -> None:
    for pair in pairs:
        pair.kill_server()


def _kill_broker(cluster: KafkaCluster, pairs: list[Pair]) -> None:
    cluster.kill(1)
    for pair in pairs:
        pair.note_kill()
    cluster.start(1)


def _pause_broker(cluster: KafkaCluster, pairs: list[Pair]) -> None:
    cluster.pause(1)
    try:
        time.sleep(STANDSTILL_SECONDS)
    finally:
        for pair in pairs:
            pair.note_kill()
        cluster.resume(1)


FAULTS: tuple[Fault, ...] = (kill_apps, kill_servers, _kill_broker, _pause_broker)


def measure(
    plan: Plan,
    pair: type[Pair] = Pair,
    callers_of: type[Callers] = Callers,
    kinds_of_faults: tuple[Fault, ...] = FAULTS,
) -> Figures:
    """`pair` and `callers_of` are the programs that receive and that call."""
    command()
    sent = Sent(plan.events)
    with (
        KafkaCluster(fast_start=True, properties=PATIENT) as cluster,
        tempfile.TemporaryDirectory() as resources,
        tempfile.TemporaryDirectory() as folder,
    ):
        logs = EventLogs(Path(folder), plan.events)
        pace = Pace(plan.events, per_second=1e9, gate=0)
        rounds: list[int] = []
        faults = kinds_of_faults * plan.repetitions
        with _pairs(pair, cluster, Path(resources), Path(folder)) as pairs:
            with callers_of(pairs, sent, pace) as callers:
                for number, fault in enumerate(faults):
                    rounds.append(time.monotonic_ns())
                    size = plan.events // len(faults)
                    end = plan.events if number == len(faults) - 1 else (number + 1) * size
                    if not _round(number * size, end, pace, logs, partial(fault, cluster, pairs)):
                        break
            for one in pairs:
                one.end()
            logs.look()
            kills = [kill for one in pairs for kill in one.kills]
        stored = read_topics(cluster.bootstrap, list(KINDS), plan.events, "json")
    size = plan.events // len(faults)
    kills.sort(key=lambda kill: kill.at)
    findings = examine(logs.entries, kills, lambda number: rounds[min(number // size, len(rounds) - 1)])
    return _figures(plan, sent, stored, logs, findings, callers)


@contextmanager
def _pairs(of: type[Pair], cluster: KafkaCluster, resources: Path, logs: Path) -> Iterator[list[Pair]]:
    pairs: list[Pair] = []
    try:
        for index, kind in enumerate(KINDS):
            cluster.create_topic(kind, PARTITIONS)
            own = resources / kind
            own.mkdir()
            settings = SETTINGS | {"consumerGroup": kind, "direction": "input, output"}
            write_document(own, BINDING, kafka_document(BINDING, cluster.bootstrap, kind, **settings))
            pair = of(kind, own, logs, index * PARTITIONS)
            pairs.append(pair)
            pair.start_server()
            pair.start_app()
        yield pairs
    finally:
        for pair in pairs:
            pair.kill_all()


def _round(begin: int, end: int, pace: Pace, logs: EventLogs, fault: Callable[[], None]) -> bool:
    """Whether all events of the round were handled; the fault comes when a fifth of them was."""

    def missing(until: int) -> int:
        logs.look()
        return until - logs.count_handled

    pace.open_gate(end)
    wait_while_moving(lambda: missing(begin + (end - begin) // 5), QUIET_SECONDS)
    fault()
    wait_while_moving(lambda: missing(end), QUIET_SECONDS)
    return missing(end) <= 0


def _figures(plan: Plan, sent: Sent, stored: Stored, logs: EventLogs, findings: Findings, callers: Callers) -> Figures:
    comparison = compare(sent, stored)
    lost = sum(1 for number, done in enumerate(sent.acknowledged) if done and not logs.handled[number])
    twice = {number for number, copies in enumerate(stored.copies) if copies > 1}
    figures = Figures(
        sent=sent.count_asked(),
        acknowledged=sent.count_acknowledged(),
        handled=logs.count_handled,
        lost=comparison.lost + lost,
        duplicated=findings.repeated,
        longest_stall_ms=findings.longest_stall_ns / 1e6,
        special={
            "calls made again": callers.attempts_failed,
            "records twice, by such calls": len(twice),
            "repeated most by a fault, of one partition": findings.most_of_a_kill(),
            "failed deliveries": findings.failed_deliveries,
            "out of order": findings.out_of_order,
        },
    )
    figures.expect(figures.sent == plan.events, f"only {figures.sent} of {plan.events} were sent")
    figures.expect(figures.acknowledged == figures.sent, f"{figures.sent - figures.acknowledged} never acknowledged")
    figures.expect(comparison.lost == 0, f"{comparison.lost} acknowledged records are not in the topics")
    figures.expect(lost == 0, f"{lost} acknowledged events were not handled")
    altered = comparison.altered + logs.altered
    figures.expect(altered == 0, f"{altered} records or events are not what was sent")
    figures.expect(comparison.unasked == 0, f"{comparison.unasked} records are there that nobody sent")
    figures.expect(comparison.wrong_receipts == 0, f"{comparison.wrong_receipts} receipts name another place")
    figures.expect(not sent.errors, f"calls failed that had time to succeed: {dict(sent.errors)}")
    unexplained = twice - callers.repeated
    figures.expect(not unexplained, f"{len(unexplained)} records of calls made once are there twice")
    most = findings.most_of_a_kill()
    figures.expect(most <= MAX_UNCOMMITTED, f"a fault repeated {most} events of a partition")
    figures.expect(findings.failed_deliveries > 0, "no event failed, so that nothing was tried again")
    figures.expect(callers.attempts_failed > 0, "no call met a fault, so that nothing was tried")
    return figures


if __name__ == "__main__":
    sys.exit(scenario.main("serve", SHORT, LONG, measure))
