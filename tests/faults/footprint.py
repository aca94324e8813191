"""Threads, file descriptors and memory of this process, as /proc tells them."""

from __future__ import annotations

import ctypes
import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bindwright import Client

# An engine stays open for 10 s after its last client; the runtime's spare threads end 10 s after their last work.
SETTLE_SECONDS = 10.0 + 10.0 + 40.0


@dataclass(frozen=True)
class Footprint:
    threads: int
    descriptors: int
    memory_mib: float


def measure() -> Footprint:
    """Memory after what is free was given back: what is counted is held by somebody."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    threads = len(list(Path("/proc/self/task").iterdir()))
    # One of them is the listing itself.
    descriptors = len(list(Path("/proc/self/fd").iterdir())) - 1
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return Footprint(threads, descriptors, int(resident.split()[1]) / 1024)


def at_rest() -> Footprint:
    """With the runtime that a process keeps once it had a client."""
    with tempfile.TemporaryDirectory() as empty:
        Client(empty).close()
    return measure()


def settled(before: Footprint) -> Footprint:
    """Waits until threads and descriptors are what they were, or until they had all the time they may need."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        now = measure()
        same = (now.threads, now.descriptors) == (before.threads, before.descriptors)
        if same or time.monotonic() > deadline:
            return now
        time.sleep(0.2)
