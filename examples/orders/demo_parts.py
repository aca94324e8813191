"""The two processes of the demo, as their parent sees them, and what is printed about them.

They are `demo_sender` and `demo_receiver`, in Python and for Node; each tells how far it is with lines of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

COMPONENT = "checkout"
"""The name of the binding."""
PROBE = -1
"""The number of an order that is not counted."""
HERE = Path(__file__).resolve().parent


class Part:
    """One of the processes."""

    def __init__(self, role: str, language: str, folder: Path, count: int, singles: int) -> None:
        self.role = f"{role} in {language}"
        self.result: dict[str, Any] = {}
        self.done = False
        self._latest: dict[str, int] = {}
        # Node looks for packages beside the program, and the parent has put ours there.
        program = [sys.executable, HERE / f"demo_{role}.py"] if language == "Python" else ["node", f"demo_{role}.mjs"]
        command = [*program, folder, str(count), str(singles)]
        self._process = subprocess.Popen(
            command, cwd=folder.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def died(self) -> bool:
        """Whether it ended without its last word."""
        return self._process.poll() is not None and not self._reader.is_alive() and not self.done

    def count(self, name: str) -> int:
        return self._latest.get(name, 0)

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def terminate(self) -> None:
        self._process.terminate()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            if "result" in news:
                self.result = news["result"]
                self._latest = self._latest | {
                    name: value for name, value in self.result.items() if isinstance(value, int)
                }
                self.done = True
            else:
                self._latest = news

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def tell(**news: object) -> None:
    """Used inside the processes: one line for the parent."""
    print(json.dumps(news), flush=True)


@dataclass(frozen=True)
class Figures:
    """What came out."""

    sent: int
    failed: int
    received: int
    duplicates: int
    invoke_ms: list[float]
    arrival_ms: list[float]
    seconds: float
    """From the first order of the lists to the last that was handled."""
    in_lists: int

    @classmethod
    def of(cls, sender: dict[str, Any], receiver: dict[str, Any]) -> Self:
        return cls(
            sent=sender["sent"],
            failed=sender["failed"],
            received=receiver["unique"],
            duplicates=receiver["deliveries"] - receiver["unique"],
            invoke_ms=sender["invoke_ms"],
            arrival_ms=receiver["arrival_ms"],
            seconds=(receiver["last_ns"] - sender["lists_ns"]) / 1e9,
            in_lists=sender["in_lists"],
        )

    @property
    def lost(self) -> int:
        """Confirmed to the sender, and never handled."""
        return max(0, self.sent - self.received)


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def table(ways: dict[str, Figures], singles: int) -> str:
    """The end of the demo, as text: a column for each way."""
    every = list(ways.values())

    def row(name: str, cells: list[str]) -> str:
        return f"  {name:<24}" + "".join(f"{cell:>18}" for cell in cells)

    def counts(name: str, values: list[int]) -> str:
        return row(name, [f"{value:,}" for value in values])

    lines = [
        "",
        row("", list(ways)),
        counts("orders sent", [figures.sent for figures in every]),
        counts("orders received", [figures.received for figures in every]),
        counts("lost", [figures.lost for figures in every]),
        counts("duplicates", [figures.duplicates for figures in every]),
    ]
    if any(figures.failed for figures in every):
        lines.append(counts("refused", [figures.failed for figures in every]))
    lines += ["", f"  {singles:,} sent one by one, ms (half of them, 99 of 100)"]
    for name, values in (
        ("invoke", [figures.invoke_ms for figures in every]),
        ("invoke to handler", [figures.arrival_ms for figures in every]),
    ):
        lines.append(row(name, [f"{quantile(ms, 0.5):.2f}, {quantile(ms, 0.99):.2f}" for ms in values]))
    if all(figures.in_lists and figures.seconds > 0 for figures in every):
        rates = [f"{figures.in_lists / figures.seconds:,.0f}" for figures in every]
        lines += ["", row("in lists, events/s", rates), "  from the sender's list to the receiver's handler"]
    return "\n".join(lines)


class Progress:
    """A bar on a terminal; a line for each quarter elsewhere."""

    WIDTH = 40

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._terminal = sys.stdout.isatty()
        self._drawn = 0.0
        self._quarter = 0

    def show(self, sent: int, received: int) -> None:
        if self._terminal:
            now = time.monotonic()
            if now - self._drawn > 0.05:
                self._drawn = now
                self._draw(sent, received)
        elif received * 4 // self._total > self._quarter:
            self._quarter = received * 4 // self._total
            print(f"  sent {sent:,}, received {received:,} of {self._total:,}", flush=True)
        self._last = sent, received

    def _draw(self, sent: int, received: int) -> None:
        done, ahead = (min(self.WIDTH, count * self.WIDTH // self._total) for count in (received, sent))
        bar = "#" * done + "-" * max(0, ahead - done)
        text = f"\r  [{bar:<{self.WIDTH}}] sent {sent:>7,}  received {received:>7,}"
        print(text, end="", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._draw(*getattr(self, "_last", (0, 0)))
            print()
