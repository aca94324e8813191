"""What the workers can do. A job is JSON: {"task": "greet", "arguments": {"name": "Ada"}}."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bindwright import Event, Outcome

EXAMPLES = [
    {"task": "greet", "arguments": {"name": "Ada"}},
    {"task": "greet", "arguments": {"name": "Grace"}},
    {"task": "fail", "arguments": {}},
    {"task": "unknown", "arguments": {}},
]


def greet(name: str) -> None:
    time.sleep(0.2)  # what your task does
    print("Hello,", name, flush=True)


def fail() -> None:
    raise RuntimeError("this one never works")


TASKS: dict[str, Callable[..., None]] = {"greet": greet, "fail": fail}


def run_job(event: Event) -> Outcome | None:
    """Raising has the job delivered again, three times in all; then it goes to `failed-jobs`."""
    job: Any = event.json()
    task = TASKS.get(job["task"])
    if task is None:
        return Outcome.dead_letter(f"no task {job['task']!r}")  # another try would not help
    print("Begin", job["task"], flush=True)
    task(**job["arguments"])
    print("End", job["task"], flush=True)
    return None
