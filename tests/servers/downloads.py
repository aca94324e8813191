"""Commands that fetch something: a registry that is busy for a moment must not fail a whole run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from os import PathLike

TRIES = 3
PAUSE_SECONDS = 5.0


def fetch(
    command: Sequence[str | PathLike[str]], *, seconds: float, folder: PathLike[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command that keeps what it has fetched, again if it fails; tells how the last try ended.

    `seconds` is for all tries together. What did not end by then has the exit code -9 and says so.
    """
    deadline = time.monotonic() + seconds
    for left in reversed(range(TRIES)):
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=max(deadline - time.monotonic(), 1.0),
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, -9, "", f"it took more than {seconds:.0f} s")
        if done.returncode == 0 or left == 0 or time.monotonic() + PAUSE_SECONDS > deadline:
            break
        time.sleep(PAUSE_SECONDS)
    return done
