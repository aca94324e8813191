"""A broker inside the test process, component documents that name it, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from bindwright import Client, Event
from bindwright._native import DevBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DOCUMENT = """\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: {name}
spec:
  type: {type}
  version: v1
  metadata:
"""

# Not 0: a test never asks two brokers or two groups for the same name.
_numbers = itertools.count(1)


class Folder:
    """A folder of component documents."""

    def __init__(self, path: Path, bootstrap: str) -> None:
        self.path = path
        self.bootstrap = bootstrap

    def kafka(self, name: str = "orders", **settings: object) -> str:
        """Write a Kafka component with a topic and a consumer group of its own; returns the topic."""
        topic = f"{name}-{next(_numbers)}"
        settings = {
            "brokers": self.bootstrap,
            "authType": "none",
            "topics": topic,
            "publishTopic": topic,
            "consumerGroup": topic,
            "initialOffset": "oldest",
            "consumeRetryInterval": "10ms",
            # The broker lets a group that somebody left rest for a session, less a second.
            "sessionTimeout": "3s",
            "heartbeatInterval": "1s",
        } | settings
        self._write(name, "bindings.kafka", settings)
        return topic

    def memory(self, name: str = "orders", **settings: object) -> None:
        """Write a memory component with a queue of its own: quick, and true of every component."""
        queue = f"{name}-{next(_numbers)}"
        self._write(name, "bindings.memory", {"queue": queue, "retryPause": "10ms"} | settings)

    def _write(self, name: str, kind: str, settings: dict[str, object]) -> None:
        lines = [f'    - name: {key}\n      value: "{value}"\n' for key, value in settings.items()]
        (self.path / f"{name}.yaml").write_text(DOCUMENT.format(name=name, type=kind) + "".join(lines))


@pytest.fixture(scope="session")
def broker() -> Iterator[DevBroker]:
    broker = DevBroker()
    yield broker
    broker.close()


@pytest.fixture
def folder(tmp_path: Path, broker: DevBroker) -> Folder:
    return Folder(tmp_path, broker.bootstrap)


@pytest.fixture
def client(folder: Folder) -> Iterator[Client]:
    """A client with one component, `orders`, which sends to the topic that it receives from."""
    folder.kafka()
    with Client(folder.path) as client:
        yield client


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until the condition holds; fail after a while."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@contextlib.contextmanager
def running(client: Client, drain: float = 10.0) -> Iterator[threading.Thread]:
    """`client.run()` in another thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            client.run(drain)
        except BaseException as error:  # raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        client.stop()
        thread.join(30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


class Seen:
    """What a handler saw: data and attempt; fails or answers as told for each."""

    def __init__(self, answers: dict[tuple[str, int], object] | None = None) -> None:
        self.seen: list[tuple[str, int]] = []
        self.answers = answers or {}

    def __call__(self, event: Event) -> object:
        key = (event.text(), event.attempt)
        self.seen.append(key)
        answer = self.answers.get(key)
        if isinstance(answer, BaseException):
            raise answer
        return answer(event) if callable(answer) else answer


class Program(Protocol):
    """Starts a Python program in a folder."""

    def __call__(self, source: str, *arguments: str) -> subprocess.Popen[str]: ...


# A shell's background job ignores Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Programs in processes of their own; ended with the test, if they did not end themselves."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", source, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own, to be ended with all its children: those hold the pipes, too.
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
