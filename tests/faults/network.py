"""The scenario's hold on `proxy.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PROXY = Path(__file__).resolve().parent / "proxy.py"


class Network:
    """Between a port that clients connect to and the broker's own."""

    def __init__(self, listen: int, to: int) -> None:
        self._command = [sys.executable, str(PROXY), "--listen", str(listen), "--to", str(to)]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, command: str) -> int:
        """How many live connections that concerns."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the proxy has ended")
        return answer
