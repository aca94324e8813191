"""Sends orders in one process, handles them in another, and shows how many arrived and how fast: half of them are sent
by Python and handled by Node, the others the other way round.

    make demo
    KAFKA_BROKERS=host:9092 make demo      # with your Kafka instead of a broker made for the demo

Ends with 1 when an order was lost, or when one of the processes died.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo_parts import Figures, Part, Progress, table

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "bindings-node"
STALLED_S = 30.0
"""How long nothing may happen before we stop waiting."""
SETTLE_S = 0.3
"""How long we go on listening for duplicates."""
SLOW_ANSWER = """
  The broker for development answers a waiting consumer every 100 ms, a real Kafka at once: KAFKA_BROKERS=host:9092
"""
KEPT = 200_000
"""Orders that the broker for development keeps for certain, were the receiver to stand still."""


class DemoFailed(Exception):
    """One of the processes died, or nothing moves any more."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many orders; 20,000 when left out")
    parser.add_argument(
        "--one-by-one", type=int, default=1_000, help="how many of them are sent one by one, for latency"
    )
    parser.add_argument("--package", type=Path, default=PACKAGE, help="the npm package, built; that of the checkout")
    options = parser.parse_args()
    brokers = os.environ.get("KAFKA_BROKERS")
    if not brokers and options.count > KEPT:
        parser.error(f"the broker for development keeps {KEPT:,} orders; set KAFKA_BROKERS to send more")
    ways = [("Python", "Node"), ("Node", "Python")]
    if shutil.which("node") is None or not (options.package / "dist").is_dir():
        print("Node, or the npm package, is missing: orders go from Python to Python only", file=sys.stderr)
        ways = [("Python", "Python")]
    count = options.count // len(ways)
    singles = min(count, options.one_by_one // len(ways))
    try:
        with ExitStack() as stack:
            address = brokers or stack.enter_context(dev_broker())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bindwright-demo-")))
            topic = f"orders-{secrets.token_hex(4)}" if brokers else "orders"
            print(f"Kafka     {address}{'' if brokers else '   (bindwright dev kafka)'}, topics {topic}-...")
            prepare(folder, options.package)
            folders = []
            for sends, receives in ways:
                folders.append(folder / f"{sends}-{receives}".lower())
                folders[-1].mkdir()
                (folders[-1] / "checkout.yaml").write_text(component(address, f"{topic}-{folders[-1].name}"))
            every = run(ways, folders, count, singles)
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(table(every, singles))
    if not brokers:
        print(SLOW_ANSWER)
    lost, failed = (sum(getattr(figures, name) for figures in every.values()) for name in ("lost", "failed"))
    if lost:
        print(f"demo: {lost:,} orders were lost", file=sys.stderr)
    return 1 if lost or failed else 0


def prepare(folder: Path, package: Path) -> None:
    """Node finds a package in `node_modules` beside a program or above it."""
    for program in HERE.glob("demo_*.mjs"):
        shutil.copy(program, folder)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "bindwright").symlink_to(package.resolve())


def component(brokers: str, topic: str) -> str:
    """The example's component, with another broker and topic, and reading from the topic's beginning."""
    text = (HERE / "components" / "checkout.yaml").read_text()
    for name, value in {"brokers": brokers, "topics": topic, "publishTopic": topic, "consumerGroup": topic}.items():
        text, count = re.subn(rf"(- name: {name}\n +value: ).*", rf"\g<1>{value}", text)
        if count != 1:
            raise DemoFailed(f"the component has no setting {name}")
    return text + "  - name: initialOffset\n    value: oldest\n"


@contextmanager
def dev_broker() -> Iterator[str]:
    """`bindwright dev kafka` as a process of its own; its first line ends with its address."""
    command = Path(sys.executable).with_name("bindwright")
    process = subprocess.Popen([command, "dev", "kafka", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise DemoFailed("the broker did not start")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait()


def run(ways: list[tuple[str, str]], folders: list[Path], count: int, singles: int) -> dict[str, Figures]:
    """All processes from start to end; the ways are measured one after the other."""
    with ExitStack() as stack:
        pairs: list[tuple[Part, Part]] = []
        for (sends, receives), folder in zip(ways, folders, strict=True):
            receiver = stack.enter_context(Part("receiver", receives, folder, count, singles))
            pairs.append((receiver, stack.enter_context(Part("sender", sends, folder, count, singles))))
        parts = [part for pair in pairs for part in pair]
        print("Processes " + ", ".join(f"{part.role} {part.pid}" for part in parts))
        began = time.monotonic()
        # Each sender has sent one order that is not counted: when it comes back, both are there.
        wait_for("the first orders", parts, lambda: all(receiver.count("probes") > 0 for receiver, _ in pairs))
        print(f"Ready     after {time.monotonic() - began:.1f} s (most of it is the consumer groups' first join)")
        return {
            f"{sends} to {receives}": one_way(f"{sends} to {receives}", *pair, count)
            for (sends, receives), pair in zip(ways, pairs, strict=True)
        }


def one_way(name: str, receiver: Part, sender: Part, count: int) -> Figures:
    print(f"\n{name}")
    sender.say("go")
    with Progress(count) as progress:

        def arrived() -> bool:
            progress.show(sender.count("sent"), receiver.count("unique"))
            return sender.done and receiver.count("unique") >= sender.count("sent")

        everything = wait_for("the rest", [receiver, sender], arrived, may_stall=True)
    if everything:
        time.sleep(SETTLE_S)
    receiver.terminate()
    wait_for("the receiver's end", [receiver], lambda: receiver.done)
    return Figures.of(sender.result, receiver.result)


def wait_for(what: str, parts: list[Part], reached: Callable[[], bool], *, may_stall: bool = False) -> bool:
    """Waits until a condition holds; `False` when nothing moves any more."""
    last, moved = -1, time.monotonic()
    while not reached():
        for part in parts:
            if part.died:
                raise DemoFailed(f"the {part.role} died (exit code {part.exit_code})")
        total = sum(part.count("sent") + part.count("unique") for part in parts)
        if total != last:
            last, moved = total, time.monotonic()
        if time.monotonic() - moved > STALLED_S:
            if may_stall:
                return False
            raise DemoFailed(f"waited {STALLED_S:.0f} s for {what}")
        time.sleep(0.02)
    return True


if __name__ == "__main__":
    sys.exit(main())
