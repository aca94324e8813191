"""Rows about sending from Node, beside kafkajs and node-rdkafka."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import node
from harness import OURS, Figures, Row, Skipped, Target, take_turns
from in_core import librdkafka_at_once
from plan import Plan

KAFKAJS = "kafkajs"
RDKAFKA = "node-rdkafka"

_NOTE = (
    "In Node {node}, one call after the other in so many async functions. kafkajs {kafkajs}: `producer.send` "
    "as it comes, so with acks from all replicas. node-rdkafka {node-rdkafka}: `produce`, a promise that its "
    "delivery report resolves, polled every millisecond, linger 0."
)
_RATE = ("rate", "p50", "p99")


def one_at_a_time(plan: Plan) -> Row:
    rounds = _rounds(plan, plan.size.calls, 1)
    return Row(
        "Node, one at a time", "µs", "p50", ("p50", "p90", "p99"), rounds, Target("at most", 0.7), note=note()
    )


def at_once(plan: Plan, in_flight: int, *, targets: dict[str, Target]) -> list[Row | Skipped]:
    """A row for each peer, of the same rounds."""
    rounds = _rounds(plan, plan.size.awaited, in_flight)
    name = f"Node, {in_flight:,} at once"
    return [
        Row(name, "µs", "rate", _RATE, _beside(rounds, peer), targets.get(peer), note=note())
        for peer in (KAFKAJS, RDKAFKA)
    ]


def keyed(plan: Plan, partitions: int, *, name: str, target: Target, limit_ms: float) -> Row:
    """64 at once with keys, beside librdkafka in Rust, too: the best that could be expected."""
    rounds = _rounds(plan, plan.size.awaited_keyed, 64, partitions=partitions, with_keys=True)
    limits = {"p50": Target("at most", limit_ms * 1000, "µs (p50)")}
    told = f"{note()} Or librdkafka from Rust, without a bound on requests: whichever is best."
    return Row(name, "µs", "rate", _RATE, rounds, target, limits, told)


def bulk(plan: Plan) -> Row:
    """Everything in one call."""
    count = plan.size.bulk
    topic = plan.broker.create_topic(3)
    rdkafka = [f"{RDKAFKA} (linger {linger_ms})" for linger_ms in (0, 5)]
    with ExitStack() as stack:
        programs = _senders(plan, topic, [OURS, KAFKAJS, *rdkafka], stack)
        peers = {peer: partial(program.round, bulk=count) for peer, program in programs.items()}
        rounds = take_turns(plan.size.rounds, peers)
    told = (
        "`invokeMany`; kafkajs: `send` of 5,000 messages each, all at once; node-rdkafka: `produce` with a "
        "callback that counts, `poll()` every 500 records; the better of linger 0 and 5 ms."
    )
    return Row(f"Node, bulk, {count:,} in one call", "/s", "rate", ("rate",), rounds, note=told)


def note() -> str:
    return _NOTE.format(node=node.version(), **node.peers())


def _rounds(
    plan: Plan, calls: int, in_flight: int, *, partitions: int = 3, with_keys: bool = False
) -> dict[str, list[Figures]]:
    topic = plan.broker.create_topic(partitions)
    with ExitStack() as stack:
        programs = _senders(plan, topic, [OURS, KAFKAJS, RDKAFKA], stack)
        # kafkajs takes several times as long: it gets fewer, or a run would consist of waiting for it.
        fewer = calls // 6 if in_flight > 1 and not with_keys else calls
        peers = {
            peer: partial(
                program.round,
                calls=fewer if peer == KAFKAJS else calls,
                inFlight=in_flight,
                keyed=with_keys,
            )
            for peer, program in programs.items()
        }
        if with_keys:
            peers["librdkafka"] = partial(librdkafka_at_once, plan, topic, in_flight, calls)
        return take_turns(plan.size.rounds, peers)


def _senders(plan: Plan, topic: str, peers: Sequence[str], stack: ExitStack) -> dict[str, node.Program]:
    """A process for each peer, until `stack` is left."""
    given = {
        "bootstrap": plan.broker.bootstrap,
        "topic": topic,
        "resources": str(plan.broker.resources(topic)),
    }

    def opened(peer: str) -> node.Program:
        who = peer.split(" ")[0]
        linger_ms = 5 if peer.endswith("(linger 5)") else 0
        return stack.enter_context(node.program("sending", {**given, "peer": who, "lingerMs": linger_ms}))

    return {peer: opened(peer) for peer in peers}


def _beside(rounds: dict[str, list[Figures]], peer: str) -> dict[str, list[Figures]]:
    return {OURS: rounds[OURS], peer: rounds[peer]}
