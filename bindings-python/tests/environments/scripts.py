"""Files of a small project, and running them with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def environment() -> dict[str, str]:
    """What the caller's pytest or shell said about Python and pytest does not concern the project."""
    ours = ("PYTEST", "PYTHONPATH", "PYTHONWARNINGS", "BINDWRIGHT_", "DAPR_", "APP_ID", "GUNICORN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Python with these arguments, writing to `output.txt`. The block ends it, with its children."""
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def run(folder: Path, *arguments: str, seconds: float = 40.0) -> str:
    """What Python said with these arguments; it has to end well, and in time."""
    with started(folder, *arguments) as process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
    text = (folder / "output.txt").read_text()
    assert code == 0, f"exit code {code}:\n{text}"
    return text
