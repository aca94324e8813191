"""Events while consumers are killed: each one is handled or dead-lettered, in order, and few are repeated.

Twelve partitions, four processes of one group, two in Python and two in Node. In each of several rounds a part of the
events is sent, one process is killed (kill -9) while it works on them, and a new one takes its place. 2 % of the events
fail once, 0.01 % for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import scenario
from components import PATIENT, kafka_document, write_document
from event_log import EventLogs, Findings, Kill, examine, fails_for_ever
from kafka import KafkaCluster
from ledger import Figures, Sent, Stored, compare
from sending import Pace, Senders, wait_while_moving
from topic_reader import read_topics

from bindwright import Client

TOPIC, DEAD_TOPIC = "events", "dead-letters"
PARTITIONS = 12
PROCESSES = 4
MAX_UNCOMMITTED = 500
DELIVERIES = 5
# 0.01 %; with 0 no event does, which tells apart what dead letters bring.
FAILS_FOR_EVER_OF = 10_000
DEAD_LETTER_SECONDS = 30.0
FOLDER = Path(__file__).resolve().parent
IN_PYTHON = [sys.executable, str(FOLDER / "event_worker.py")]
IN_NODE = ["node", str(FOLDER / "event_worker.mjs")]
# Built by `make test` and `make faults`.
NODE_PACKAGE = FOLDER.parent.parent / "bindings-node" / "dist" / "index.mjs"

SETTINGS = {
    "consumerGroup": "events",
    "maxUncommitted": str(MAX_UNCOMMITTED),
    # How long the group waits for a process that was killed.
    "sessionTimeout": "3s",
    "heartbeatInterval": "500ms",
    # The pause before a failed event comes again.
    "consumeRetryEnabled": "true",
    "backOffDuration": "10ms",
}
DEAD_LETTERS = {"maxDeliveryCount": str(DELIVERIES), "deadLetterBinding": "dead-letters"}


@dataclass(frozen=True)
class Plan:
    events: int
    kills: int


SHORT = Plan(events=10_000, kills=2)
LONG = Plan(events=500_000, kills=10)


@dataclass
class Workers:
    """The consumer processes: always `PROCESSES` of them."""

    resources: Path
    logs: Path
    kills: list[Kill] = field(default_factory=list)
    _running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    _started: int = 0
    in_node: int = 0

    def start(self) -> None:
        name = f"worker-{self._started}"
        # They are killed in the order of their start: in both languages in turn.
        is_node = self._started % 2 == 1 and NODE_PACKAGE.exists()
        self.in_node += is_node
        self._started += 1
        log = self.logs / f"{name}.log"
        command = [*(IN_NODE if is_node else IN_PYTHON), str(self.resources), str(log), str(FAILS_FOR_EVER_OF)]
        self._running.append((name, subprocess.Popen(command)))

    def kill_oldest(self) -> None:
        """And starts another one."""
        name, process = self._running.pop(0)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself with {process.returncode}")
        process.kill()
        process.wait()
        self.kills.append(Kill(time.monotonic_ns(), name))
        self.start()

    def end(self) -> None:
        """SIGTERM: they settle what they have begun."""
        for _, process in self._running:
            process.send_signal(signal.SIGTERM)
        for name, process in self._running:
            if process.wait(30) != 0:
                raise RuntimeError(f"{name} ended with {process.returncode}")
        self._running.clear()

    def kill_all(self) -> None:
        for _, process in self._running:
            process.kill()
            process.wait()


def measure(plan: Plan) -> Figures:
    sent = Sent(plan.events)
    with (
        KafkaCluster(fast_start=True, properties=PATIENT) as cluster,
        tempfile.TemporaryDirectory() as resources,
        tempfile.TemporaryDirectory() as folder,
    ):
        _prepare(cluster, Path(resources))
        logs = EventLogs(Path(folder), plan.events)
        pace = Pace(plan.events, per_second=1e9, gate=0)
        rounds: list[int] = []
        with (
            _workers(Path(resources), Path(folder)) as workers,
            Client(resources) as client,
            Senders(client, "events", sent, pace, singles=1),
        ):
            for number in range(plan.kills):
                rounds.append(time.monotonic_ns())
                if not _round(number, plan, pace, logs, workers):
                    break
            pace.stop()
            dead = _read_dead_letters(cluster, plan)
            workers.end()
            logs.look()
        stored = read_topics(cluster.bootstrap, [TOPIC], plan.events)
    size = plan.events // plan.kills
    findings = examine(logs.entries, workers.kills, lambda number: rounds[min(number // size, len(rounds) - 1)])
    return _figures(plan, sent, stored, logs, dead, findings, workers)


def _prepare(cluster: KafkaCluster, resources: Path) -> None:
    cluster.create_topic(TOPIC, PARTITIONS)
    cluster.create_topic(DEAD_TOPIC, 1)
    settings = SETTINGS | (DEAD_LETTERS if FAILS_FOR_EVER_OF else {})
    write_document(resources, "events", kafka_document("events", cluster.bootstrap, TOPIC, **settings))
    write_document(resources, "dead-letters", kafka_document("dead-letters", cluster.bootstrap, DEAD_TOPIC))


@contextmanager
def _workers(resources: Path, logs: Path) -> Iterator[Workers]:
    workers = Workers(resources, logs)
    try:
        for _ in range(PROCESSES):
            workers.start()
        yield workers
    finally:
        workers.kill_all()


def _for_ever(below: int) -> set[int]:
    return {number for number in range(below) if fails_for_ever(number, FAILS_FOR_EVER_OF)}


def _round(number: int, plan: Plan, pace: Pace, logs: EventLogs, workers: Workers) -> bool:
    """Whether all events of the round were settled. The last one takes what the division left."""
    size = plan.events // plan.kills
    begin, end = number * size, plan.events if number == plan.kills - 1 else (number + 1) * size

    def missing(until: int) -> int:
        logs.look()
        return until - len(_for_ever(until)) - logs.count_handled

    pace.open_gate(end)
    wait_while_moving(lambda: missing(begin) + size // 5)
    workers.kill_oldest()
    wait_while_moving(lambda: missing(end))
    return missing(end) <= 0


def _read_dead_letters(cluster: KafkaCluster, plan: Plan) -> Stored:
    """The last one may come after everything else."""
    wanted = _for_ever(plan.events)
    deadline = time.monotonic() + DEAD_LETTER_SECONDS
    while True:
        dead = read_topics(cluster.bootstrap, [DEAD_TOPIC], plan.events)
        if dead.numbers() >= wanted or time.monotonic() > deadline:
            return dead


def _figures(
    plan: Plan, sent: Sent, stored: Stored, logs: EventLogs, dead: Stored, findings: Findings, workers: Workers
) -> Figures:
    comparison = compare(sent, stored)
    kills = len(workers.kills)
    settled = {number for number, handled in enumerate(logs.handled) if handled} | dead.numbers()
    wanted = _for_ever(plan.events)
    lost = sum(1 for number, done in enumerate(sent.acknowledged) if done and number not in settled)
    dead_twice = dead.records - len(dead.numbers()) - dead.altered
    figures = Figures(
        sent=sent.count_asked(),
        acknowledged=sent.count_acknowledged(),
        handled=logs.count_handled,
        lost=lost,
        duplicated=findings.repeated,
        longest_stall_ms=findings.longest_stall_ns / 1e6,
        special={
            "processes killed": kills,
            "processes in Node": workers.in_node,
            "most repeats of a kill and partition": findings.most_of_a_kill(),
            "maxUncommitted": MAX_UNCOMMITTED,
            "repeats without a kill": findings.not_of_a_kill,
            "dead letters": len(dead.numbers()),
            "dead letters twice": dead_twice,
            "failed deliveries": findings.failed_deliveries,
            "partitions moved": findings.moved,
            "out of order": findings.out_of_order,
        },
    )
    figures.expect_stored(sent, comparison)
    figures.expect_no_failed_call(sent)
    figures.expect(figures.sent == plan.events, f"only {figures.sent} of {plan.events} were sent")
    figures.expect(lost == 0, f"{lost} events were neither handled nor dead-lettered")
    figures.expect(dead.numbers() == wanted, f"{len(dead.numbers())} dead letters, expected {len(wanted)}")
    altered = dead.altered + logs.altered
    figures.expect(altered == 0, f"{altered} events or dead letters are not what was sent")
    # A process may die between a dead letter and its commit: one event of each of its partitions.
    bound = kills * PARTITIONS
    figures.expect(dead_twice <= bound, f"{dead_twice} dead letters came twice, more than kills explain")
    most = findings.most_of_a_kill()
    figures.expect(most <= MAX_UNCOMMITTED, f"a kill repeated {most} events of a partition")
    figures.expect(findings.not_of_a_kill == 0, f"{findings.not_of_a_kill} repeats without a kill")
    figures.expect(findings.out_of_order == 0, f"{findings.out_of_order} events were handled out of order")
    figures.expect(workers.in_node > 0 or "CI" not in os.environ, "the package for Node is not built")
    figures.expect(findings.moved > 0, "no partition moved, so that nothing was tried")
    return figures


if __name__ == "__main__":
    sys.exit(scenario.main("events", SHORT, LONG, measure))
