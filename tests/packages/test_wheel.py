"""The wheel in an empty environment: it is complete, the command works, and the README tells the truth."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from programs import Program

from conftest import ROOT, Installed

pytestmark = pytest.mark.timeout(240)

MARKED = re.compile(r"<!-- test: (?P<name>\S+) -->\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_wheel_needs_nothing_else(installed: Installed) -> None:
    assert installed.run(installed.python, "-m", "pip", "check").strip() == "No broken requirements found."
    where = installed.run(installed.python, "-c", "import bindwright; print(bindwright.__file__)")
    assert str(installed.folder) in where


def test_the_wheel_has_types(installed: Installed) -> None:
    files = installed.run(installed.python, "-m", "pip", "show", "--files", "bindwright")
    assert "bindwright/py.typed" in files
    assert ".pyi" in files


def test_the_command_tells_the_package_version(installed: Installed) -> None:
    said = installed.run(installed.command, "--version").strip()
    told = "from importlib.metadata import version; print('bindwright', version('bindwright'))"
    assert said == installed.run(installed.python, "-c", told).strip()
    assert said == installed.run(installed.python, "-m", "bindwright", "--version").strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_broker_well(installed: Installed, tmp_path: Path, number: signal.Signals) -> None:
    with Program([installed.command, "dev", "kafka", "--port", "0"], tmp_path) as program:
        program.line("  stop")
        assert program.end(number) == 0, program.text
        assert program.text.endswith("stopped\n")


def test_the_programs_of_the_readme_work(installed: Installed, broker: str, tmp_path: Path) -> None:
    names = []
    for found in MARKED.finditer((ROOT / "README.md").read_text()):
        file = tmp_path / found["name"]
        file.parent.mkdir(exist_ok=True)
        # The reader's broker is on the usual port; ours takes a free one.
        file.write_text(found["text"].replace("localhost:9092", broker))
        names.append(found["name"])
    assert names == ["components/checkout.yaml", "sender.py", "receiver.py"]

    with (
        Program([installed.python, "receiver.py"], tmp_path) as receiver,
        Program([installed.python, "sender.py"], tmp_path) as sender,
    ):
        received = [receiver.line("Received order ") for _ in range(3)]
        assert receiver.end() == 0, receiver.text
        sender.end()
    sent = [line.strip().replace("Sent", "Received") for line in sender.lines if line.startswith("Sent order ")]
    # Partitions are handled in parallel: only within one the order is certain.
    assert set(received) <= set(sent)
