"""Rows about what the package for Node itself costs: a call that does nothing, and memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import node
from harness import OURS, Figures, Row, Skipped, Target, take_turns
from node_sending import KAFKAJS, RDKAFKA
from plan import Plan
from servers import noop_resources


def nothing(plan: Plan, folder: Path) -> list[Row | Skipped]:
    """Promises of a binding that does nothing, one after the other and many at once."""
    resources = str(noop_resources(folder / "nothing-node"))
    with node.program("footprint", {"what": "nothing", "resources": resources}) as program:

        def row(name: str, in_flight: int) -> Row:
            calls = partial(program.round, calls=plan.size.calls * 50, inFlight=in_flight)
            rounds = take_turns(plan.size.rounds, {OURS: calls})
            return Row(name, "µs", "mean", ("mean",), rounds, Target("at most", 5, "µs"))

        name = "Node: a binding that does nothing"
        return [row(name, 1), row(f"{name}, 64 at once", 64)]


def memory(plan: Plan) -> Row | Skipped:
    name = "Node: memory for one Kafka output"
    if not Path("/proc/self/statm").exists():
        return Skipped(name, "there is no /proc on this system")
    topic = plan.broker.create_topic(3)
    where = {"what": "memory", "bootstrap": plan.broker.bootstrap, "topic": topic}
    given = {**where, "resources": str(plan.broker.resources(topic))}

    def fresh(peer: str) -> Figures:
        with node.program("footprint", {**given, "peer": peer}) as program:
            return program.round()

    peers = {peer: partial(fresh, peer) for peer in (OURS, KAFKAJS, RDKAFKA)}
    limits = {"value": Target("at most", 20, "MiB")}
    return Row(name, "MiB", "value", ("value",), take_turns(plan.size.rounds, peers), limits=limits)
