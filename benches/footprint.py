"""Rows about what the package itself costs: a call that does nothing, memory, import time, the wheel's size.

As a program, `footprint.py PEER RESOURCES BOOTSTRAP TOPIC` measures one fresh process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

MIB = 1024 * 1024


def measure(peer: str, resources: str, bootstrap: str, topic: str) -> dict[str, float]:
    """Imports, opens one Kafka output and sends one record."""
    before, began = _resident(), time.perf_counter()
    if peer == "bindwright":
        import bindwright

        imported = time.perf_counter() - began
        with bindwright.Client(resources) as client:
            client.invoke_binding("checkout", "create", b"x")
            after = _resident()
    else:
        import confluent_kafka

        imported = time.perf_counter() - began
        producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        producer.produce(topic, b"x")
        producer.flush()
        after = _resident()
    return {"memory": (after - before) / MIB, "import": imported * 1e3}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
    sys.exit()

from bindwright import Client, _native  # noqa: E402 - not in the fresh process

from harness import OURS, Figures, Row, Skipped, Target, take_turns  # noqa: E402
from plan import PAYLOAD, Plan  # noqa: E402
from sending import PEER  # noqa: E402
from servers import REPOSITORY, noop_resources  # noqa: E402


def nothing(plan: Plan, folder: Path) -> Row | Skipped:
    name = "a binding that does nothing"
    register = getattr(_native, "register_noop", None)
    if register is None:
        return Skipped(name, "the package is built without its feature `bench`")
    register()
    with Client(noop_resources(folder / "nothing")) as client:

        def calls() -> Figures:
            count = plan.size.calls * 50
            invoke = client.invoke_binding
            began = time.perf_counter()
            for _ in range(count):
                invoke("nothing", "create", PAYLOAD)
            return {"mean": (time.perf_counter() - began) / count * 1e6}

        rounds = take_turns(plan.size.rounds, {OURS: calls})
    return Row(name, "µs", "mean", ("mean",), rounds, Target("at most", 2, "µs"))


def fresh_process(plan: Plan) -> list[Row | Skipped]:
    if not Path("/proc/self/statm").exists():
        return [Skipped("memory", "there is no /proc on this system")]
    topic = plan.broker.create_topic(3)
    resources = str(plan.broker.resources(topic))

    def started(peer: str) -> Figures:
        command = [sys.executable, __file__, peer, resources, plan.broker.bootstrap, topic]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures: Figures = json.loads(printed)
        return figures

    rounds = take_turns(plan.size.rounds, {OURS: lambda: started(OURS), PEER: lambda: started(PEER)})
    memory, imported = (
        {peer: [{"value": figures[key]} for figures in each] for peer, each in rounds.items()}
        for key in ("memory", "import")
    )
    limit = {"value": Target("at most", 20, "MiB")}
    return [
        Row("memory for one Kafka output", "MiB", "value", ("value",), memory, limits=limit),
        Row("import", "ms", "value", ("value",), imported),
    ]


def wheel() -> Row | Skipped:
    name = "wheel, as downloaded"
    folders = [REPOSITORY / "dist", REPOSITORY / "target" / "wheels"]
    wheels = [wheel for folder in folders for wheel in folder.glob("bindwright-*.whl")]
    if not wheels:
        return Skipped(name, "not built: `make dist`")
    newest = max(wheels, key=lambda wheel: wheel.stat().st_mtime)
    size = {OURS: [{"value": newest.stat().st_size / 1e6}]}
    return Row(name, "MB", "value", ("value",), size, Target("at most", 20, "MB"))
