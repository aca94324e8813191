"""A Kafka broker, with a slow network in front of it where wanted, and components that use it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent
SERVERS = REPOSITORY / "tests" / "servers"
DELAY_MS = 2
EXIT_SERVER_MISSING = 3


class ServerFailed(Exception):
    """A server did not start, or did not do what it was asked."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def build() -> dict[str, Path]:
    """Builds the programs written in Rust; their paths by name."""
    packages = ["bindwright-bench", "bindwright-delay-proxy", "bindwright-serve-app"]
    programs = _built([flag for package in packages for flag in ("-p", package)])
    # With a component that does nothing, which the program that users get has not.
    return programs | _built(["-p", "bindwright-cli", "--features", "bench"])


def _built(options: Sequence[str]) -> dict[str, Path]:
    built = subprocess.run(
        ["cargo", "build", "--release", *options, "--message-format=json-render-diagnostics"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return {
        message["target"]["name"]: Path(message["executable"])
        for message in messages
        if message.get("executable")
    }


@dataclass
class Broker:
    """A running broker."""

    bootstrap: str
    process_id: int
    """Of the broker itself."""
    _process: subprocess.Popen[str]
    _folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def create_topic(self, partitions: int) -> str:
        name = f"bench-{next(self._numbers)}"
        answer = asked(self._process, f"create {name} {partitions}")
        if not answer["ok"]:
            raise ServerFailed(answer["error"])
        return name

    def resources(self, topic: str, *, binding: str = "checkout") -> Path:
        """A folder with a component that sends to the topic, and reads it in a new group from its start."""
        number = next(self._numbers)
        folder = self._folder / f"components-{number}"
        folder.mkdir()
        settings = {
            "brokers": self.bootstrap,
            "publishTopic": topic,
            "topics": topic,
            "consumerGroup": f"bindwright-{number}",
            "initialOffset": "oldest",
            "authType": "none",
        }
        lines = [f"  - {{name: {name}, value: '{value}'}}\n" for name, value in settings.items()]
        (folder / f"{binding}.yaml").write_text(_component(binding, "bindings.kafka", lines))
        return folder

    def unique_group(self) -> str:
        return f"peer-{next(self._numbers)}"


def noop_resources(folder: Path) -> Path:
    """A folder with a component of the type that does nothing."""
    folder.mkdir()
    (folder / "nothing.yaml").write_text(_component("nothing", "bindings.noop", []))
    return folder


def _component(name: str, kind: str, settings: Sequence[str]) -> str:
    head = f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n"
    spec = f"spec:\n  type: {kind}\n  version: v1\n"
    return head + spec + ("  metadata:\n" + "".join(settings) if settings else "  metadata: []\n")


@contextmanager
def broker(delay_proxy: Path | None = None) -> Iterator[Broker]:
    """One broker; with `delay_proxy`, its round trip takes `DELAY_MS` longer."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bindwright-bench-")))
        command = [sys.executable, str(SERVERS / "kafka.py")]
        port = _free_port() if delay_proxy else None
        process, described = stack.enter_context(
            started([*command, *(["--advertise-port", str(port)] if port else [])])
        )
        if delay_proxy:
            to = f"127.0.0.1:{described['brokers'][0]['port']}"
            options = ["--listen", str(port), "--to", to, "--delay-ms", str(DELAY_MS)]
            stack.enter_context(started([str(delay_proxy), *options]))
        yield Broker(described["bootstrap"], described["brokers"][0]["pid"], process, folder)


def _free_port() -> int:
    command = [sys.executable, "-c", "from ports import free_ports; print(free_ports(1)[0])"]
    return int(subprocess.run(command, cwd=SERVERS, check=True, stdout=subprocess.PIPE, text=True).stdout)


@contextmanager
def started(
    command: Sequence[str], env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A program that prints a line of JSON when it is ready, and ends when its stdin does."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        first = _out(process).readline()
        described: dict[str, Any] = (
            json.loads(first) if first else {"error": f"{Path(command[0]).name} ended without a word"}
        )
        if "error" in described:
            raise ServerFailed(described["error"], missing=described.get("missing", False))
        yield process, described
        _in(process).close()


def asked(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """The program's answer, in JSON, to a line."""
    _in(process).write(f"{line}\n")
    _in(process).flush()
    answer = _out(process).readline()
    if not answer:
        raise ServerFailed("a program ended without an answer")
    answered: dict[str, Any] = json.loads(answer)
    return answered


def _in(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin


def _out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
