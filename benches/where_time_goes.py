"""Where the time of a call or an event goes: processor time by who spends it, from samples of `perf`.

    python benches/where_time_goes.py            # starts a broker of its own, prints a Markdown table
    python benches/where_time_goes.py one events # some of its columns

Needs `perf`, and the right to use it. Samples of our process are told apart by thread, library, symbol; what
the C library and the kernel do counts for whoever owns the thread.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bindwright import Client, Event, aio

from plan import BINDING, PAYLOAD, Plan, Size
from receiving import Counter as Counting
from receiving import filled
from servers import ServerFailed, broker

FREQUENCY = 997
WHO = ("Python", "package", "core", "librdkafka", "broker")
SAMPLE = re.compile(
    r"\s*(?P<thread>.+?)\s+(?P<process>\d+)\s+[0-9a-f]+ (?P<symbol>.*) \((?P<library>[^()]*)\)$"
)

Work = Callable[[], tuple[int, float]]
"""Does something: how often, and in how many seconds."""


def _measured(plan: Plan, prepare: Callable[[Plan], AbstractContextManager[Work]]) -> dict[str, float]:
    """Microseconds for each call or event: by who spends them, and on the clock."""
    with tempfile.TemporaryDirectory(prefix="bindwright-perf-") as folder, prepare(plan) as work:
        work()
        with _samples(Path(folder) / "perf.data", plan.broker.process_id) as samples:
            count, seconds = work()
    spent = {who: samples[who] / FREQUENCY / count * 1e6 for who in WHO}
    return spent | {"all of them": sum(spent.values()), "on the clock": seconds / count * 1e6}


@contextmanager
def _samples(data: Path, broker_process: int) -> Iterator[Counter[str]]:
    """Counts samples by who was at work; they are there when the block is left."""
    samples: Counter[str] = Counter()
    # Of the whole machine: of single processes perf sees only threads that are there when it begins.
    command = ["perf", "record", "--quiet", "-a", "-e", "cpu-clock", "-F", str(FREQUENCY), "-o", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
        while not data.exists():
            if perf.poll() is not None:
                raise ServerFailed("`perf record` ended at once: is it allowed here?")
            time.sleep(0.05)
        yield samples
        perf.send_signal(signal.SIGINT)
    fields = ["--force", "-i", str(data), "-F", "comm,pid,ip,sym,dso"]
    printed = subprocess.run(
        ["perf", "script", *fields], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout
    for sample in map(SAMPLE.match, printed.splitlines()):
        if sample is not None and int(sample["process"]) in (os.getpid(), broker_process):
            samples[_who(sample)] += 1


def _who(sample: re.Match[str]) -> str:
    thread, symbol = sample["thread"], sample["symbol"]
    if int(sample["process"]) != os.getpid():
        return "broker"
    if "_native." not in sample["library"]:
        # The interpreter, the C library or the kernel, for whoever runs in this thread.
        return "librdkafka" if thread.startswith("rdk:") else "core" if "bindwright" in thread else "Python"
    if symbol.startswith(("rd_", "rdk", "cnd_", "mtx_", "crc32")):
        return "librdkafka"
    return "package" if "_native::" in symbol or "pyo3" in symbol else "core"


@contextmanager
def _one(plan: Plan) -> Iterator[Work]:
    with Client(plan.broker.resources(plan.broker.create_topic(3))) as client:

        def work() -> tuple[int, float]:
            count = plan.size.calls * 5
            began = time.perf_counter()
            for _ in range(count):
                client.invoke_binding(BINDING, "create", PAYLOAD)
            return count, time.perf_counter() - began

        yield work


@contextmanager
def _awaited(plan: Plan) -> Iterator[Work]:
    client = aio.Client(plan.broker.resources(plan.broker.create_topic(3)))

    async def crowd() -> tuple[int, float]:
        count = plan.size.awaited * 5
        numbers = iter(range(count))

        async def calls() -> None:
            for _ in numbers:
                await client.invoke_binding(BINDING, "create", PAYLOAD)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(1_000):
                tasks.create_task(calls())
        return count, time.perf_counter() - began

    with asyncio.Runner() as runner:
        yield lambda: runner.run(crowd())
        runner.run(client.close())


@contextmanager
def _events(plan: Plan) -> Iterator[Work]:
    topic = filled(plan)

    def work() -> tuple[int, float]:
        counter = Counting(plan.size.events)
        with Client(plan.broker.resources(topic)) as client:

            @client.binding(BINDING)
            def handle(event: Event) -> None:
                if event.data is not None and not counter.add(1):
                    client.stop()

            client.run()
        return counter.count, counter.count / counter.figures()["rate"]

    yield work


def _table(columns: dict[str, dict[str, float]]) -> str:
    lines = [f"| µs for each | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for row in next(iter(columns.values())):
        figures = (_short(column[row]) for column in columns.values())
        lines.append(f"| {row} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


WORKS = {
    "one": ("one blocking call", _one),
    "awaited": ("1,000 awaited at once", _awaited),
    "events": ("an event with a handler", _events),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"only these: {', '.join(WORKS)}")
    chosen = parser.parse_args().works or list(WORKS)
    if unknown := set(chosen) - set(WORKS):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    columns = {}
    try:
        with broker() as running:
            plan = Plan(Size(), running, {})
            for title, prepare in (WORKS[name] for name in chosen):
                print(f"measuring: {title}", file=sys.stderr, flush=True)
                columns[title] = _measured(plan, prepare)
    except ServerFailed as error:
        print(f"where_time_goes: {error}", file=sys.stderr)
        return 1
    print(_table(columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
