"""Our client through `bindwright serve`, over gRPC and over HTTP, while programs and servers are killed.

The same as `scenario_serve.py`, with our client on both sides: two servers, each with a program that receives by
`Client.binding`, and threads that call by `Client.invoke_binding` with time enough for any fault. A call whose outcome
is unknown is made again; every other error is a failure. Brokers stay: what becomes of calls without them is in the
other scenarios.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import scenario
from ledger import json_payload
from scenario_serve import Plan, kill_apps, kill_servers, measure
from sending import TIMEOUT_SECONDS, Pace
from serve_app import BINDING
from serving import FOLDER, Callers, Pair

from bindwright import BindwrightError, Client
from bindwright.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from ledger import Sent

SHORT = Plan(events=4_000, repetitions=1)
LONG = Plan(events=200_000, repetitions=5)


class Program(Pair):
    """A server and a program with a client of ours."""

    def _run_app(self) -> subprocess.Popen[bytes]:
        where = {
            "BINDWRIGHT_TRANSPORT": f"sidecar-{self.kind}",
            "DAPR_HTTP_PORT": str(self.calls),
            "DAPR_GRPC_PORT": str(self.grpc),
            "APP_PORT": str(self.app_port),
        }
        arguments = (self._log(), str(self.first_partition))
        return subprocess.Popen([sys.executable, FOLDER / "sidecar_app.py", *arguments], env=os.environ | where)


class Clients(Callers):
    """Threads that share one client for each pair."""

    def __init__(self, pairs: list[Pair], sent: Sent, pace: Pace) -> None:
        super().__init__(pairs, sent, pace)
        self._clients = {pair.kind: self._client(pair) for pair in pairs}

    @staticmethod
    def _client(pair: Pair) -> Client:
        if pair.kind == "grpc":
            return Client(transport="sidecar-grpc", sidecar_endpoint=f"http://127.0.0.1:{pair.grpc}")
        return Client(transport="sidecar-http", sidecar_endpoint=f"http://127.0.0.1:{pair.calls}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for client in self._clients.values():
            client.close()

    @contextmanager
    def _calling(self, pair: Pair) -> Iterator[Callable[[int], bool]]:
        yield partial(self._is_acknowledged, self._clients[pair.kind])

    def _is_acknowledged(self, client: Client, number: int) -> bool:
        try:
            # As a sidecar writes JSON, so that the bytes pass over HTTP as well.
            reply = client.invoke_binding(BINDING, "create", json_payload(number), timeout=TIMEOUT_SECONDS)
        except OutcomeUnknownError:
            return self._failed(number)
        except BindwrightError as error:
            with self._lock:
                self._sent.errors[error.code] += 1
            return self._failed(None)
        self._sent.note(range(number, number + 1), [reply], 0.0)
        return True


if __name__ == "__main__":
    through_clients = partial(measure, pair=Program, callers_of=Clients, kinds_of_faults=(kill_apps, kill_servers))
    sys.exit(scenario.main("sidecar", SHORT, LONG, through_clients))
