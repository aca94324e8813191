"""Rows about `bindwright serve`: requests, memory, the time until it is ready, events to an application.

daprd stands beside it with stored figures: they were taken once, on a machine that `STORED` names.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bindwright import Client

from harness import OURS, Figures, Row, Skipped, Target
from plan import BINDING, PAYLOAD, Plan
from servers import ServerFailed, asked, noop_resources, started

DAPRD = "daprd 1.18.0 (stored)"
STORED = (
    "wrk with one thread, which shares the processors with the server and the broker. daprd: stored figures "
    "of November 2026, taken once with Kafka behind it on a machine with 2 processors and 24 GiB (Linux, "
    "Apache Kafka 4.1 on loopback); it did not run beside us, so a ratio tells the order of magnitude only."
)
EVENTS = (
    "Of 100,000 events in a topic of 3 partitions, from the first that the application sees to the last. The "
    "applications only count. daprd: a stored figure, of an application in Node over HTTP; as above."
)
_LUA = Path(__file__).resolve().parent / "serve.lua"
_PATIENCE = 60.0
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}
Peer = dict[str, Figures]

BESIDE: dict[int, Figures] = {
    1: {"rate": 3_006, "p50": 308, "p99": 2_900},
    32: {"rate": 12_797, "p50": 2_090, "p99": 9_300},
}
"""daprd, by connections."""


class Serving:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, grpc_port: int, began: float) -> None:
        self.process = process
        self.port = port
        """Of HTTP."""
        self.grpc_port = grpc_port
        self.ready_after = _ready(port, began)

    def resident(self) -> float:
        """In MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


@contextmanager
def serving(plan: Plan, resources: Path, more: Sequence[str] = ()) -> Iterator[Serving]:
    port, grpc, metrics = _free_ports(3)
    flags = ["--app-id", "bench", "--resources-path", str(resources), "--log-level", "error"]
    ports = ["--dapr-http-port", str(port), "--dapr-grpc-port", str(grpc), "--metrics-port", str(metrics)]
    command = [str(plan.programs["bindwright"]), "serve", *flags, *ports, *more]
    began = time.perf_counter()
    process = subprocess.Popen(command)
    try:
        yield Serving(process, port, grpc, began)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _ready(port: int, began: float) -> float:
    """In milliseconds."""
    while time.perf_counter() - began < _PATIENCE:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1.0/healthz/outbound", timeout=1).close()
        except OSError:
            time.sleep(0.0005)
        else:
            return (time.perf_counter() - began) * 1e3
    raise ServerFailed("bindwright serve did not get ready")


def _wrk(port: int, name: str, connections: int, seconds: float) -> Figures:
    url = f"http://127.0.0.1:{port}/v1.0/bindings/{name}"
    many = ["-t", "1", "-c", str(connections), "-d", f"{max(seconds, 1):.0f}s"]
    options = [*many, "--latency", "-s", str(_LUA)]
    said = subprocess.run(["wrk", *options, url], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise ServerFailed(f"wrk was refused: {' '.join(said.split())}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    times = {
        part: (float(value), unit) for part, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)
    }
    if rate is None or len(times) != 2:
        raise ServerFailed(f"wrk said: {' '.join(said.split())}")
    by_part = {f"p{part}": value * _UNITS[unit] for part, (value, unit) in times.items()}
    return {"rate": float(rate.group(1)), **by_part}


def requests(plan: Plan, folder: Path) -> list[Row | Skipped]:
    """With nothing behind it, and with Kafka behind it."""
    if shutil.which("wrk") is None:
        return [Skipped("serve: requests over HTTP", "needs wrk")]
    topic = plan.broker.create_topic(3)
    made: list[Row | Skipped] = []
    for behind, name, resources in (
        ("nothing behind it", "nothing", noop_resources(folder / "nothing-serve")),
        ("Kafka behind it", BINDING, plan.broker.resources(topic)),
    ):
        with serving(plan, resources) as server:
            _wrk(server.port, name, 32, plan.size.wrk_seconds)
            for connections in (1, 32, 256):
                rounds = [_wrk(server.port, name, connections, plan.size.wrk_seconds) for _ in _rounds(plan)]
                compared = {OURS: rounds}
                has_peer = name == BINDING and connections in BESIDE
                if has_peer:
                    compared[DAPRD] = [BESIDE[connections]] * len(rounds)
                target = Target("at least", 3) if has_peer and connections == 32 else None
                what = f"serve: HTTP, {connections} connection{'s' if connections > 1 else ''}, {behind}"
                shown = ("rate", "p50", "p99")
                made.append(Row(what, "µs", "rate", shown, compared, target, note=STORED))
    return made


def _rounds(plan: Plan) -> range:
    return range(plan.size.rounds)


def footprint(plan: Plan) -> list[Row | Skipped]:
    """With one Kafka output: ready after, resident memory before and after load; the size of the program."""
    if shutil.which("wrk") is None or not Path("/proc/self/status").exists():
        return [Skipped("serve: memory", "needs wrk and /proc")]
    topic = plan.broker.create_topic(3)
    started_with: list[Figures] = []
    loaded: list[Figures] = []
    ready: list[Figures] = []
    for _ in _rounds(plan):
        with serving(plan, plan.broker.resources(topic)) as server:
            ready.append({"value": server.ready_after})
            started_with.append({"value": server.resident()})
            _wrk(server.port, BINDING, 32, plan.size.wrk_seconds)
            loaded.append({"value": server.resident()})

    def row(what: str, unit: str, taken: list[Figures], theirs: float, target: Target) -> Row:
        compared = {OURS: taken, DAPRD: [{"value": theirs}] * len(taken)}
        return Row(what, unit, "value", ("value",), compared, limits={"value": target}, note=STORED)

    memory = Target("at most", 30, "MiB")
    return [
        row("serve: ready after", "ms", ready, 306, Target("at most", 60, "ms")),
        row("serve: resident memory at start", "MiB", started_with, 127, memory),
        row("serve: resident memory after load", "MiB", loaded, 145, memory),
        _size(plan),
    ]


def _size(plan: Plan) -> Row:
    """Without the tables for debuggers, as it is packed."""
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "bindwright"
        subprocess.run(["strip", "-o", str(stripped), str(plan.programs["bindwright"])], check=True)
        size = stripped.stat().st_size / 1024 / 1024
    return Row("serve: the program", "MiB", "value", ("value",), {OURS: [{"value": size}]})


def events(plan: Plan) -> list[Row | Skipped]:
    """To applications that only count: in Rust over HTTP and gRPC, and in Node over HTTP."""
    topic = plan.broker.create_topic(3)
    count = plan.size.events_served
    with Client(plan.broker.resources(topic)) as client:
        client.invoke_many(BINDING, "create", [PAYLOAD] * count)
    program = str(plan.programs["serve-app"])
    node = Path(__file__).resolve().parent / "node" / "serve-app.mjs"
    made: list[Row | Skipped] = []
    for name, protocol, command in (
        ("an application over HTTP", "http", [program, "http"]),
        ("an application over gRPC", "grpc", [program, "grpc"]),
        ("an application in Node over HTTP", "http", ["node", str(node)]),
    ):
        what = f"serve: events to {name}"
        if shutil.which(command[0]) is None:
            made.append(Skipped(what, f"needs {command[0]}"))
            continue
        rounds = [_delivered(plan, topic, protocol, command, count) for _ in _rounds(plan)]
        compared = {OURS: rounds}
        if protocol == "http":
            compared[DAPRD] = [{"rate": 6_866}] * len(rounds)
        made.append(Row(what, "/s", "rate", ("rate",), compared, note=EVENTS))
    return made


def _delivered(plan: Plan, topic: str, protocol: str, command: Sequence[str], count: int) -> Figures:
    """From the first event that the application sees to the last."""
    with started(command) as (app, described):
        flags = ["--app-port", str(described["port"]), "--app-protocol", protocol]
        with serving(plan, plan.broker.resources(topic), flags):
            first, began = 0, 0.0
            deadline = time.perf_counter() + _PATIENCE
            while time.perf_counter() < deadline:
                seen = asked(app, "count")["count"]
                now = time.perf_counter()
                if seen and not first:
                    first, began = seen, now
                if seen >= count:
                    return {"rate": (seen - first) / (now - began)}
                time.sleep(0.001)
    raise ServerFailed(f"not all of {count} events came in time")
