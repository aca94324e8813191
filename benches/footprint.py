"""Rows about what the package itself costs: a call that does nothing, memory, import time, the wheel's size.

As a program it measures one fresh process: `footprint.py memory PEER RESOURCES BOOTSTRAP TOPIC`, or
`footprint.py import MODULE`.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

MIB = 1024 * 1024


def add_memory(peer: str, resources: str, bootstrap: str, topic: str) -> float:
    """Imports, opens one Kafka output and sends one record: the memory that is added by that, in MiB."""
    before = _resident()
    if peer == "bindwright":
        import bindwright

        with bindwright.Client(resources) as client:
            client.invoke_binding("checkout", "create", b"x")
            return (_resident() - before) / MIB
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.produce(topic, b"x")
    producer.flush()
    return (_resident() - before) / MIB


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def add_module(name: str) -> float:
    """The milliseconds that an import takes."""
    began = time.perf_counter()
    importlib.import_module(name)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps({"value": add_module(*arguments) if what == "import" else add_memory(*arguments)}))
    sys.exit()

import asyncio  # noqa: E402 - not in the fresh process
from functools import partial  # noqa: E402

from bindwright import Client, aio  # noqa: E402

from harness import OURS, Figures, Row, Skipped, Target, take_turns  # noqa: E402
from plan import PAYLOAD, Plan  # noqa: E402
from sending import PEER  # noqa: E402
from servers import REPOSITORY, noop_resources  # noqa: E402

_WITHOUT_BENCH = "the package is built without its feature `bench`"


def _knows_noop(resources: Path) -> bool:
    with Client(resources) as client:
        return not client.faults()


def nothing(plan: Plan, folder: Path) -> Row | Skipped:
    name = "a binding that does nothing"
    resources = noop_resources(folder / "nothing")
    if not _knows_noop(resources):
        return Skipped(name, _WITHOUT_BENCH)
    with Client(resources) as client:

        def calls() -> Figures:
            count = plan.size.calls * 50
            invoke = client.invoke_binding
            began = time.perf_counter()
            for _ in range(count):
                invoke("nothing", "create", PAYLOAD)
            return {"mean": (time.perf_counter() - began) / count * 1e6}

        rounds = take_turns(plan.size.rounds, {OURS: calls})
    return Row(name, "µs", "mean", ("mean",), rounds, Target("at most", 2, "µs"))


def nothing_awaited(plan: Plan, folder: Path) -> Row | Skipped:
    name = "a binding that does nothing, awaited"
    resources = noop_resources(folder / "nothing-awaited")
    if not _knows_noop(resources):
        return Skipped(name, _WITHOUT_BENCH)

    async def calls() -> Figures:
        count = plan.size.calls * 20
        async with aio.Client(resources) as client:
            invoke = client.invoke_binding
            began = time.perf_counter()
            for _ in range(count):
                await invoke("nothing", "create", PAYLOAD)
            return {"mean": (time.perf_counter() - began) / count * 1e6}

    rounds = take_turns(plan.size.rounds, {OURS: lambda: asyncio.run(calls())})
    return Row(name, "µs", "mean", ("mean",), rounds)


def memory(plan: Plan) -> Row | Skipped:
    name = "memory for one Kafka output"
    if not Path("/proc/self/statm").exists():
        return Skipped(name, "there is no /proc on this system")
    topic = plan.broker.create_topic(3)
    where = [str(plan.broker.resources(topic)), plan.broker.bootstrap, topic]
    peers = {peer: partial(_fresh, "memory", peer, *where) for peer in (OURS, PEER)}
    limits = {"value": Target("at most", 20, "MiB")}
    return Row(name, "MiB", "value", ("value",), take_turns(plan.size.rounds, peers), limits=limits)


def imports(plan: Plan) -> list[Row | Skipped]:
    return [
        _imported(plan, "import", "bindwright", PEER, "confluent_kafka"),
        _imported(plan, "import, asyncio", "bindwright.aio", "aiokafka", "aiokafka"),
    ]


def _imported(plan: Plan, name: str, ours: str, peer: str, theirs: str) -> Row:
    peers = {OURS: partial(_fresh, "import", ours), peer: partial(_fresh, "import", theirs)}
    # Short, and so more easily disturbed.
    rounds = take_turns(plan.size.rounds * 3, peers)
    return Row(name, "ms", "value", ("value",), rounds)


def _fresh(*arguments: str) -> Figures:
    command = [sys.executable, __file__, *arguments]
    figures: Figures = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return figures


def wheel() -> Row | Skipped:
    name = "wheel, as downloaded"
    folders = [REPOSITORY / "dist", REPOSITORY / "target" / "wheels"]
    wheels = [wheel for folder in folders for wheel in folder.glob("bindwright-*.whl")]
    if not wheels:
        return Skipped(name, "not built: `make dist`")
    newest = max(wheels, key=lambda wheel: wheel.stat().st_mtime)
    size = {OURS: [{"value": newest.stat().st_size / 1e6}]}
    return Row(name, "MB", "value", ("value",), size, Target("at most", 20, "MB"))
