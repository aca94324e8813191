"""Rows measured by `core-bench`, without Python: what the core itself can do beside plain librdkafka."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from harness import Figures, Row, Target
from plan import Plan


def at_once(
    plan: Plan,
    in_flight: int,
    *,
    name: str,
    partitions: int = 3,
    keyed: bool = False,
    target: Target | None = None,
    limit_ms: float | None = None,
) -> Row:
    topic = plan.broker.create_topic(partitions)
    records = plan.size.keyed if keyed else plan.size.in_core
    options = ["--mode", "at-once", "--in-flight", str(in_flight), "--records", str(records)]
    rounds = _run(plan, topic, [*options, *(["--keyed"] if keyed else [])], rounds=plan.size.rounds)
    limits = {} if limit_ms is None else {"p50": Target("at most", limit_ms * 1000, "µs (p50)")}
    note = "In Rust, without Python. librdkafka: no bound on requests under way, linger 0, no idempotence."
    return Row(name, "µs", "rate", ("rate", "p50", "p99"), rounds, target, limits, note)


def librdkafka_at_once(plan: Plan, topic: str, in_flight: int, records: int) -> Figures:
    """One round of librdkafka alone, keyed, after a warm-up of its own."""
    options = ["--mode", "at-once", "--in-flight", str(in_flight), "--records", str(records), "--keyed"]
    rounds = _run(plan, topic, [*options, "--only", "librdkafka"], rounds=1)
    return rounds["librdkafka"][0]


def _run(plan: Plan, topic: str, options: Sequence[str], *, rounds: int) -> dict[str, list[Figures]]:
    where = [
        "--resources",
        str(plan.broker.resources(topic)),
        "--bootstrap",
        plan.broker.bootstrap,
        "--topic",
        topic,
    ]
    command = [str(plan.programs["core-bench"]), *where, *options, "--rounds", str(rounds)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    taken: dict[str, list[Figures]] = {}
    for line in printed.splitlines():
        figures = json.loads(line)
        taken.setdefault(figures.pop("peer"), []).append(figures)
    return taken
