"""An application behind `bindwright serve`: fails on purpose, and logs what it does before it answers.

python serve_app.py http|grpc PORT LOG FIRST_PARTITION

FIRST_PARTITION is added to the partitions in the log, so that those of several topics can be told apart.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from event_log import FAILED, HANDLED, RECORD, fails_once
from ledger import number_of_json

BINDING = "events"


class Handler:
    """Says whether an event is handled."""

    def __init__(self, log: Path, first_partition: int) -> None:
        # Small records written at once: what is in the file was there before the answer.
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._first_partition = first_partition
        self._failed: set[int] = set()
        self._lock = threading.Lock()

    def handle(self, data: bytes, metadata: Mapping[str, str]) -> bool:
        number = number_of_json(data)
        with self._lock:
            failing = fails_once(number) and number not in self._failed
            if failing:
                self._failed.add(number)
        partition = self._first_partition + int(metadata["__partition"])
        place = (int(metadata["__offset"]), number, partition, FAILED if failing else HANDLED)
        os.write(self._file, RECORD.pack(time.monotonic_ns(), *place))
        return not failing


def serve_http(port: int, handler: Handler) -> None:
    class Application(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_OPTIONS(self) -> None:
            self._answer(200)

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            handled = handler.handle(data, {name.lower(): value for name, value in self.headers.items()})
            self._answer(200 if handled else 500)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Application).serve_forever()


def serve_grpc(port: int, handler: Handler) -> None:
    from dapr.ext.grpc import App

    app = App()

    @app.binding(BINDING)  # type: ignore[untyped-decorator]
    def handle(request: Any) -> None:
        if not handler.handle(request.data, dict(request.binding_metadata)):
            raise RuntimeError("on purpose")

    app.run(port)


if __name__ == "__main__":
    kind, port, log, first_partition = sys.argv[1:]
    (serve_http if kind == "http" else serve_grpc)(int(port), Handler(Path(log), int(first_partition)))
