"""`bindwright serve` with an application behind it, both killed at will; and threads that call it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from event_log import Kill
from ports import free_ports
from scenario import NotInThisBuild
from sending import Pace, Workers
from serve_app import BINDING

if TYPE_CHECKING:
    from ledger import Sent

FOLDER = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 60.0
STOP_SECONDS = 30.0
# Between two attempts of a call that was not answered.
PAUSE_SECONDS = 0.05


def command() -> Path:
    """The command of this environment's package, or the one that BINDWRIGHT_COMMAND names."""
    found = Path(os.environ.get("BINDWRIGHT_COMMAND") or Path(sys.executable).with_name("bindwright"))
    if not found.exists():
        raise NotInThisBuild(f"there is no {found}")
    return found


class Pair:
    """A server and its application. Both are started again on the same ports."""

    def __init__(self, kind: str, resources: Path, logs: Path, first_partition: int) -> None:
        self.kind = kind
        self.first_partition = first_partition
        self.kills: list[Kill] = []
        self.calls, self.grpc, self._metrics, self.app_port = free_ports(4)
        self._resources, self._logs = resources, logs
        self._server: subprocess.Popen[bytes] | None = None
        self._app: subprocess.Popen[bytes] | None = None
        self._apps = 0

    def start_server(self) -> None:
        flags: list[tuple[str, object]] = [
            ("--resources-path", self._resources),
            ("--app-port", self.app_port),
            ("--app-protocol", self.kind),
            ("--dapr-http-port", self.calls),
            ("--dapr-grpc-port", self.grpc),
            ("--metrics-port", self._metrics),
            ("--log-level", "error"),
        ]
        words = [str(word) for flag in flags for word in flag]
        self._server = subprocess.Popen([command(), "serve", "--app-id", self.kind, *words])

    def start_app(self) -> None:
        self._apps += 1
        self._app = self._run_app()

    def _run_app(self) -> subprocess.Popen[bytes]:
        arguments = (self.kind, str(self.app_port), self._log(), str(self.first_partition))
        return subprocess.Popen([sys.executable, FOLDER / "serve_app.py", *arguments])

    def _log(self) -> Path:
        return self._logs / f"{self._app_name()}.log"

    def _app_name(self) -> str:
        return f"{self.kind}-{self._apps}"

    def note_kill(self) -> None:
        """What the application at work has in its hands may come again."""
        self.kills.append(Kill(time.monotonic_ns(), self._app_name()))

    def kill_app(self) -> None:
        """SIGKILL; and another one takes its place."""
        _kill(self._app)
        self.note_kill()
        self.start_app()

    def kill_server(self) -> None:
        """The same of the server; the application stays."""
        _kill(self._server)
        self.note_kill()
        self.start_server()

    def end(self) -> None:
        """SIGTERM: what was begun is settled."""
        assert self._server is not None
        self._server.terminate()
        if self._server.wait(STOP_SECONDS) != 0:
            raise RuntimeError(f"the server of {self.kind} ended with {self._server.returncode}")

    def kill_all(self) -> None:
        for process in (self._server, self._app):
            if process is not None:
                process.kill()
                process.wait()


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    assert process is not None
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended by itself with {process.returncode}")
    process.kill()
    process.wait()


class Callers(Workers):
    """Threads that call the HTTP API until each number is acknowledged, by the pair that its remainder names."""

    def __init__(self, pairs: list[Pair], sent: Sent, pace: Pace, threads: int = 6) -> None:
        super().__init__([self._call_all] * threads, pace)
        self._pairs, self._sent = pairs, sent
        # Numbers with an attempt whose outcome nobody knows: they may be there twice.
        self.repeated: set[int] = set()
        self.attempts_failed = 0
        self._lock = threading.Lock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Begins nothing more: a call is made again until it is acknowledged."""
        self._pace.stop()
        super().__exit__(kind, error, trace)

    def _call_all(self) -> None:
        with ExitStack() as stack:
            calls = [stack.enter_context(self._calling(pair)) for pair in self._pairs]
            while numbers := self._pace.take(1):
                number = numbers.start
                self._sent.asked[number] = 1
                began = time.monotonic()
                while not calls[number % len(calls)](number):
                    if self._pace.is_over:
                        return
                    time.sleep(PAUSE_SECONDS)
                with self._lock:
                    self._sent.longest_call = max(self._sent.longest_call, time.monotonic() - began)

    @contextmanager
    def _calling(self, pair: Pair) -> Iterator[Callable[[int], bool]]:
        """Makes one attempt at a number by this pair, and says whether it was acknowledged."""
        connection = http.client.HTTPConnection("127.0.0.1", pair.calls, TIMEOUT_SECONDS)
        try:
            yield lambda number: self._is_answered(connection, number)
        finally:
            connection.close()

    def _is_answered(self, connection: http.client.HTTPConnection, number: int) -> bool:
        data = {"text": "<ü>", "number": number}
        body = json.dumps({"operation": "create", "data": data}, ensure_ascii=False).encode()
        try:
            connection.request("POST", f"/v1.0/bindings/{BINDING}", body)
            answer = connection.getresponse()
            answer.read()
        except ConnectionRefusedError:
            # Nobody heard of it.
            connection.close()
            return self._failed(None)
        except (OSError, http.client.HTTPException):
            connection.close()
            return self._failed(number)
        if answer.status not in (200, 204):
            return self._failed(number)
        self._sent.partitions[number] = int(answer.headers.get("metadata.partition", -1))
        self._sent.offsets[number] = int(answer.headers.get("metadata.offset", -1))
        self._sent.acknowledged[number] = 1
        return True

    def _failed(self, number: int | None) -> bool:
        with self._lock:
            self.attempts_failed += 1
            if number is not None:
                self.repeated.add(number)
        return False
