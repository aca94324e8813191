"""Other programs, run as a user runs them: started, read line by line with a deadline, told to stop."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

DEADLINE_S = 120.0

# What a shell starts in the background ignores Ctrl-C, and so would all programs of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def clean_environment() -> dict[str, str]:
    """Nothing of ours may leak into the program: no search path, no variable that Bindwright reads."""
    ours = ("PYTHON", "BINDWRIGHT_", "DAPR_", "APP_ID", "VIRTUAL_ENV", "KAFKA_BROKERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


class Program:
    """A process whose output is kept; killed at the end of the `with` block."""

    def __init__(self, command: Sequence[str | Path], folder: Path, **variables: str) -> None:
        self._name = " ".join(Path(part).name for part in command)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What it starts ends with it, and Ctrl-C reaches all of them and not the tests.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self, start: str = "") -> str:
        """The next line that begins so."""
        return self._next(lambda line: line.startswith(start), start)

    def find(self, pattern: str) -> str:
        """What the pattern's group is in the next line that has it."""
        found = re.search(pattern, self._next(lambda line: re.search(pattern, line) is not None, pattern))
        assert found is not None
        return found[1]

    def _next(self, wanted: Callable[[str], bool], what: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self._name}: no line {what!r} in time, but:\n{self.text}") from None
            assert line is not None, f"{self._name} ended before it said {what!r}:\n{self.text}"
            if wanted(line):
                return line

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal; returns the exit code."""
        self._process.send_signal(number)
        return self.wait()

    def ctrl_c(self) -> int:
        """What the key does: all processes of the program get the signal; returns the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line)
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
