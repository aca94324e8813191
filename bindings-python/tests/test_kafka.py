"""Handlers against a real broker: failing, being asked to end, being killed, with everything counted."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, Event
from bindwright.errors import BindwrightError
from conftest import Program, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from real_kafka import Kafka

pytest_plugins = ("real_kafka",)
pytestmark = pytest.mark.timeout(180)

# Writes each event to a file before it returns: the file outlives the process.
CONSUMER = """
import os, sys, time
from bindwright import Client

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
client = Client(".")

@client.binding("orders")
def handle(event):
    time.sleep(float(sys.argv[2]))
    os.write(log, f"{event.metadata['__partition']} {event.text()}\\n".encode())

client.run(drain=10)
print("ended")
"""

# The same on an asyncio loop.
AIO_CONSUMER = """
import asyncio, os, sys
from bindwright.aio import Client

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def main():
    client = Client(".")

    @client.binding("orders")
    async def handle(event):
        await asyncio.sleep(float(sys.argv[2]))
        os.write(log, f"{event.metadata['__partition']} {event.text()}\\n".encode())

    await client.run(drain=10)

asyncio.run(main())
print("ended")
"""

each_client = pytest.mark.parametrize("consumer", [CONSUMER, AIO_CONSUMER], ids=["blocking", "asyncio"])


def write(kafka: Kafka, folder: Path, partitions: int, **settings: object) -> None:
    topic = kafka.unique("topic")
    kafka.create_topic(topic, partitions)
    (folder / "orders.yaml").write_text(kafka.document(topic, kafka.unique("group"), **settings))


def send(folder: Path, numbers: range, partitions: int) -> None:
    with Client(folder) as client:
        metadata = [{"partitionNumber": str(number % partitions)} for number in numbers]
        outcomes = client.invoke_many("orders", "create", [str(number) for number in numbers], metadata)
    assert not [outcome for outcome in outcomes if isinstance(outcome, BindwrightError)]


def lines(log: Path) -> list[tuple[int, int]]:
    """Partition and number of every event handled."""
    text = log.read_text() if log.exists() else ""
    complete = text[: text.rfind("\n") + 1].splitlines()
    return [(int(partition), int(number)) for partition, number in (line.split() for line in complete)]


def check(
    what: str, sent: int, handled: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> Counter[int]:
    """Nothing lost, first handlings in order; returns the repetitions of each partition."""
    seen: set[int] = set()
    last: dict[int, int] = {}
    repeated: Counter[int] = Counter()
    out_of_order = 0
    for partition, number in handled:
        if number in seen:
            repeated[partition] += 1
            continue
        seen.add(number)
        out_of_order += number < last.get(partition, -1)
        last[partition] = number
    lost = sent - len(seen)
    with capsys.disabled():
        print(  # noqa: T201 -- figures are what these tests are for
            f"\n{what}: sent {sent}, received {len(handled)}, lost {lost}, duplicated {repeated.total()}, "
            f"out of order {out_of_order}"
        )
    assert (lost, out_of_order) == (0, 0)
    return repeated


def test_an_event_whose_handler_raises_comes_again_before_the_next_and_is_never_skipped(
    kafka: Kafka, tmp_path: Path
) -> None:
    write(kafka, tmp_path, 1)
    send(tmp_path, range(5), 1)
    seen: list[tuple[str, int]] = []
    # The first life fails the third event for ever, the second one handles it.
    with Client(tmp_path) as client:

        @client.binding("orders")
        def fail(event: Event) -> None:
            seen.append((event.text(), event.attempt))
            if event.text() == "2":
                raise ValueError("on purpose")

        thread = threading.Thread(target=client.run)
        thread.start()
        wait_until(lambda: ("2", 3) in seen)
        client.stop()
        thread.join(30)
        assert not thread.is_alive()
    attempts = [attempt for text, attempt in seen if text == "2"]
    assert attempts == list(range(1, len(attempts) + 1))
    assert [text for text, _ in seen if text != "2"] == ["0", "1"]

    again: list[str] = []
    with Client(tmp_path) as client, client.events("orders") as events:
        for event in events:
            again.append(event.text())
            event.ack()
            if event.text() == "4":
                break
    assert again == ["2", "3", "4"]


@each_client
def test_sigterm_drains_and_the_next_process_goes_on_where_it_ended(
    kafka: Kafka, tmp_path: Path, program: Program, consumer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(kafka, tmp_path, 3, maxUncommitted=100)
    send(tmp_path, range(1500), 3)
    handled: list[tuple[int, int]] = []
    lives = []
    for life, enough in enumerate((200, 400, None)):
        log = tmp_path / f"life-{life}"
        process = program(consumer, str(log), "0.002")
        rest = 1500 - len(handled)
        wait_until(lambda log=log, wanted=enough or rest: len(lines(log)) >= wanted, 60)  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (0, "ended\n"), errors
        lives.append(len(lines(log)))
        handled += lines(log)
    repeated = check(f"ended by SIGTERM, lives of {lives}", 1500, handled, capsys)
    assert repeated.total() == 0


@each_client
def test_a_killed_process_repeats_little_and_loses_nothing(
    kafka: Kafka, tmp_path: Path, program: Program, consumer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bound = 100
    settings = {"maxUncommitted": bound, "sessionTimeout": "1s", "heartbeatInterval": "200ms"}
    write(kafka, tmp_path, 3, **settings)
    send(tmp_path, range(3000), 3)
    handled: list[tuple[int, int]] = []
    lives = []
    for life in range(3):
        log = tmp_path / f"life-{life}"
        process = program(consumer, str(log), "0.0005")
        before = {number for _, number in handled}

        def enough(log: Path = log, last: bool = life == 2, before: set[int] = before) -> bool:
            now = lines(log)
            return len(before | {number for _, number in now}) == 3000 if last else len(now) > 300

        wait_until(enough, 60)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        lives.append(len(lines(log)))
        handled += lines(log)
    repeated = check(f"killed, lives of {lives}", 3000, handled, capsys)
    assert all(count <= bound * (len(lives) - 1) for count in repeated.values()), repeated


# Settles what it can at once, and hangs at "stuck".
HANGING = """
import sys, threading
from bindwright import Client

client = Client(".")

@client.binding("orders", workers=1)
def handle(event):
    print(event.text(), flush=True)
    if event.text() == sys.argv[1]:
        try:
            threading.Event().wait()
        finally:
            print("unwound", flush=True)

client.run(drain=600)
print("ended")
"""


@pytest.mark.parametrize(
    # Python itself ends a program by the signal after a KeyboardInterrupt, as a shell expects it.
    ("second", "status"),
    [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)],
)
def test_a_second_signal_ends_a_drain_that_hangs_and_only_what_was_settled_is_recorded(
    kafka: Kafka, tmp_path: Path, program: Program, second: signal.Signals, status: int
) -> None:
    write(kafka, tmp_path, 1, sessionTimeout="1s", heartbeatInterval="200ms")
    send(tmp_path, range(5), 1)
    process = program(HANGING, "2")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
    process.send_signal(signal.SIGTERM)
    # It drains, for up to ten minutes: the handler that was begun may finish.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    began = time.monotonic()
    process.send_signal(second)
    output, errors = process.communicate(timeout=30)
    took = time.monotonic() - began
    assert process.returncode == status, errors
    assert output == ""
    assert took < 5

    # The next process gets what was not settled, and nothing of what was.
    process = program(HANGING, "none")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["2\n", "3\n", "4\n"]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "ended\n"
    assert process.returncode == 0
