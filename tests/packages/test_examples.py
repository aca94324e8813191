"""The examples, run with the wheel as users get it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import Program

from conftest import ROOT, Installed

pytestmark = pytest.mark.timeout(240)

ORDERS = ROOT / "examples" / "orders"


def test_orders_travel_from_the_sender_to_the_receiver(installed: Installed, broker: str, tmp_path: Path) -> None:
    component = (ORDERS / "components" / "checkout.yaml").read_text()
    assert "localhost:9092" in component
    oldest = "  - name: initialOffset\n    value: oldest\n"
    (tmp_path / "checkout.yaml").write_text(component.replace("localhost:9092", broker) + oldest)

    def start(name: str, *options: str) -> Program:
        program = ORDERS / "python" / name
        command: list[str | Path] = [installed.python, program, "--resources", tmp_path, *options]
        return Program(command, tmp_path)

    with start("receiver.py") as receiver, start("sender.py", "--count", "5", "--interval", "0.01") as sender:
        assert sender.wait() == 0, sender.text
        received = [receiver.line("Received order ") for _ in range(5)]
        assert receiver.end() == 0, receiver.text
    sent = [line.strip() for line in sender.lines if line.startswith("Sent order ")]
    assert sorted(received) == sorted(line.replace("Sent", "Received") for line in sent)


def test_the_demo_loses_nothing(installed: Installed, tmp_path: Path) -> None:
    command: list[str | Path] = [installed.python, ORDERS / "demo.py", "--count", "2000", "--one-by-one", "100"]
    with Program(command, tmp_path) as demo:
        assert demo.wait() == 0, demo.text
    for expected in (r"orders sent +2,000", r"orders received +2,000", r"lost +0", r"[\d,]+ events/s"):
        assert re.search(expected, demo.text), demo.text
