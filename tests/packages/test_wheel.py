"""The wheel in an empty environment: it is complete and the command works."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import Program

if TYPE_CHECKING:
    from conftest import Installed

pytestmark = pytest.mark.timeout(240)


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
