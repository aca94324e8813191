"""`bindwright serve` beside the tests, as a process of its own."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    Transport = Literal["embedded", "sidecar-grpc", "sidecar-http"]

SERVERS = Path(__file__).resolve().parents[2] / "tests" / "servers"
PATIENCE_SECONDS = 30.0


def free_port() -> int:
    """A port that nobody listens on, chosen as `tests/servers` does for its own."""
    if str(SERVERS) not in sys.path:
        sys.path.append(str(SERVERS))
    (port,) = importlib.import_module("ports").free_ports(1)
    return int(port)


class Sidecar:
    """A sidecar with a folder of components, on ports of its own; ended when the block is left.

    `port` is where the transport reaches it, a free one where none is given, and `app_port` where it expects
    the program that receives.
    """

    def __init__(
        self,
        folder: Path,
        transport: Transport,
        *flags: str,
        port: int = 0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.transport, self.app_port = transport, free_port()
        self._log = folder / f"sidecar-{self.app_port}.log"
        way = transport.removeprefix("sidecar-")
        ports = {"http": 0, "grpc": 0} | {way: port}
        command = os.environ.get("BINDWRIGHT_COMMAND")
        arguments = [
            *(shlex.split(command) if command else [sys.executable, "-m", "bindwright"]),
            *("serve", "--app-id", "spec", "--resources-path", str(folder), "--enable-metrics=false"),
            *("--dapr-http-port", str(ports["http"]), "--dapr-grpc-port", str(ports["grpc"])),
            *("--app-port", str(self.app_port), "--app-protocol", way),
            *flags,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAPR_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments, env=environment | (dict(variables or {})), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self.http = self._listens("HTTP")
            self.grpc = self._listens("gRPC")
            self._wait_for_outbound()
        except BaseException:
            self.end()
            raise

    @property
    def endpoint(self) -> str:
        """Where the transport reaches it."""
        return f"http://{self.http}" if self.transport == "sidecar-http" else self.grpc

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of a client that goes through it."""
        return {
            "transport": self.transport,
            "sidecar_endpoint": self.endpoint,
            "app_port": self.app_port,
        }

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """Ask it to end, and wait for that."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it in the middle of what it does."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def _listens(self, what: str) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        start = f"serving {what} on "
        while True:
            for line in self.log.splitlines(keepends=True):
                if start in line and line.endswith("\n"):
                    return line.split(start, 1)[1].split()[0]
            assert self.process.poll() is None, f"the sidecar ended:\n{self.log}"
            assert time.monotonic() < deadline, f"the sidecar does not serve {what}:\n{self.log}"
            time.sleep(0.01)

    def _wait_for_outbound(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.http}/v1.0/healthz/outbound", timeout=5):
                    return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 401:
                    # It asks for a token, which only clients know.
                    return
            assert time.monotonic() < deadline, f"the sidecar is not ready:\n{self.log}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
