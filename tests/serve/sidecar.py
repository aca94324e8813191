"""`bindwright serve` and applications beside it, as processes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parent
PATIENCE = 60.0


def command() -> Path:
    """The command of this environment's package, or the one that BINDWRIGHT_COMMAND names."""
    named = os.environ.get("BINDWRIGHT_COMMAND")
    return Path(named) if named else Path(sys.executable).with_name("bindwright")


class Process:
    """A program whose lines are read; ended when the block is left."""

    def __init__(self, arguments: Sequence[str | Path], variables: dict[str, str] | None = None) -> None:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (variables or {})
        self.process = subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new.put(line.rstrip("\n"))

    def line(self, start: str) -> str:
        """Waits for a line with this text, and gives what follows it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.lines:
                if start in line:
                    self.lines.remove(line)
                    return line.split(start, 1)[1].strip()
            try:
                self.lines.append(self._new.get(timeout=0.1))
            except queue.Empty:
                if not self._reader.is_alive() and self._new.empty():
                    break
        raise AssertionError(f"no line with {start!r}:\n" + "\n".join(self.lines))

    def end(self) -> int:
        """Asks it to end, and gives its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.close()

    def close(self) -> None:
        """Lets go of its streams, which end with it."""
        self.process.wait()
        self._reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Sidecar(Process):
    """`bindwright serve` on free ports."""

    def __init__(self, components: Path, *flags: str, variables: dict[str, str] | None = None) -> None:
        free = ("--dapr-http-port", "0", "--dapr-grpc-port", "0", "--metrics-port", "0")
        paths = ("--app-id", "orders", "--resources-path", str(components))
        super().__init__([command(), "serve", *paths, *free, *flags], variables)
        try:
            self.http = self.line("serving HTTP on ").split()[0]
            self.grpc = self.line("serving gRPC on ").split()[0]
        except AssertionError:
            self.process.kill()
            self.close()
            raise

    @property
    def variables(self) -> dict[str, str]:
        """What Dapr's SDKs find it by."""
        return {"DAPR_HTTP_PORT": self.http.rsplit(":", 1)[1], "DAPR_GRPC_PORT": self.grpc.rsplit(":", 1)[1]}

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.http}/v1.0/healthz", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < deadline, "never ready"
                time.sleep(0.05)


def component(folder: Path, name: str, of_type: str, **settings: str) -> None:
    """Writes a component document."""
    items = "".join(f"  - {{name: {key}, value: '{value}'}}\n" for key, value in settings.items())
    head = f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n"
    spec = f"spec:\n  type: {of_type}\n  version: v1\n  metadata:\n{items}"
    (folder / f"{name}.yaml").write_text(head + spec)


def invoke(sidecar: Sidecar, name: str, data: object) -> int:
    """Sends data by `create`; gives the status."""
    body = json.dumps({"operation": "create", "data": data, "metadata": {"partitionKey": "one"}}).encode()
    with urllib.request.urlopen(f"http://{sidecar.http}/v1.0/bindings/{name}", body, timeout=PATIENCE) as answer:
        return int(answer.status)
