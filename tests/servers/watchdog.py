"""Cleans up after a test server whose owner died without a chance to do it (SIGKILL, out of memory).

The owner starts this as a process of its own session and keeps a pipe to it open. Lines on the pipe: `+PID` for a
process to look after, `-PID` once the owner has seen it end, `rm PATH` for a folder to remove. When the pipe closes, or
the owner is gone while a forked child still holds the pipe, everything that is left is killed and removed.

Chosen over PR_SET_PDEATHSIG because that fires when the *thread* that started the child ends, is Linux only, and
cannot remove a folder.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

OWNER_CHECK_SECONDS = 1.0


class Watchdog:
    """The owner's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # -I -S: start fast, and take nothing from the environment of the test.
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def remove_at_end(self, folder: Path) -> None:
        self._tell(f"rm {folder}")

    def close(self) -> None:
        """Lets the watchdog do what is left to do, and waits for it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


def main(owner: int) -> None:
    pids: set[int] = set()
    folders: list[str] = []
    rest = b""
    while os.getppid() == owner:
        if not select.select([0], [], [], OWNER_CHECK_SECONDS)[0]:
            continue
        data = os.read(0, 65536)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in map(os.fsdecode, lines):
            if line.startswith("+"):
                pids.add(int(line[1:]))
            elif line.startswith("-"):
                pids.discard(int(line[1:]))
            elif line.startswith("rm "):
                folders.append(line[3:])
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        # A process that is just being killed may still write: the second pass gets what the first one missed.
        for _ in range(2):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
