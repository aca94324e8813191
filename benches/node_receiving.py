"""Rows about receiving in Node, beside kafkajs and node-rdkafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import node
from harness import OURS, Figures, Row, Target, take_turns
from plan import Plan
from receiving import filled

_NOTE = (
    "{what} From the first event to the last, without joining the group, in Node {node}. kafkajs {kafkajs} "
    "commits as it comes, after each batch that was handled; node-rdkafka {node-rdkafka}: automatic commits "
    "off, a commit every second."
)


def one_by_one(plan: Plan) -> Row:
    return _row(
        plan,
        f"Node: events, one call for each of {plan.size.events:,}",
        "handler",
        ["kafkajs eachMessage"],
        "An async function for each event.",
        Target("at least", 1.5),
    )


def iterated(plan: Plan) -> Row:
    what = "An `ack()` for each, beside a stream of node-rdkafka."
    return _row(plan, "Node: events, `for await`", "for await", ["node-rdkafka stream"], what)


def batches(plan: Plan) -> Row:
    what = "An async function for up to 1,000 events, beside what kafkajs fetched at once or `consume(1000)`."
    return _row(plan, "Node: events, batches", "batches", ["kafkajs eachBatch", "node-rdkafka consume"], what)


def _row(
    plan: Plan, name: str, ours: str, theirs: Sequence[str], what: str, target: Target | None = None
) -> Row:
    topic = filled(plan)
    with ExitStack() as stack:

        def turns(way: str) -> Callable[[], Figures]:
            given = {"bootstrap": plan.broker.bootstrap, "topic": topic, "way": way}
            program = stack.enter_context(node.program("receiving", given))

            def turn() -> Figures:
                resources = str(plan.broker.resources(topic)) if way.startswith(OURS) else None
                group = plan.broker.unique_group()
                return program.round(events=plan.size.events, group=group, resources=resources)

            return turn

        peers = {OURS: turns(f"{OURS} {ours}")} | {way: turns(way) for way in theirs}
        rounds = take_turns(plan.size.event_rounds, peers)
    note = _NOTE.format(what=what, node=node.version(), **node.peers())
    return Row(name, "/s", "rate", ("rate",), rounds, target, note=note)
