"""The application's side as processes: over TLS, and killed while it works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ports import free_ports
from sidecar import HERE, PATIENCE, Process, Sidecar, component, invoke

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(("protocol", "program"), [("https", "tls_http_app.py"), ("grpcs", "tls_grpc_app.py")])
def test_an_application_with_a_certificate_of_its_own_gets_events(protocol: str, program: str, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ("-subj", "/CN=nobody", "-days", "1", "-nodes")
    files = ("-keyout", key, "-out", certificate)
    made: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
    subprocess.run(made, check=True, capture_output=True, timeout=PATIENCE)
    component(tmp_path, "checkout", "bindings.memory")
    (port,) = free_ports(1)
    with (
        Process([sys.executable, HERE / program, str(port), key, certificate]) as application,
        Sidecar(tmp_path, "--app-port", str(port), "--app-protocol", protocol) as sidecar,
    ):
        sidecar.wait_until_ready()
        assert invoke(sidecar, "checkout", 1) == 204
        assert application.line("received ") == "1"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is read from /proc")
def test_a_server_with_nothing_to_do_rests(components: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    ledger = tmp_path / "ledger"
    ledger.touch()
    with (
        Process([sys.executable, HERE / "ledger_app.py", str(port), str(ledger)]),
        Sidecar(components, "--app-port", str(port)) as sidecar,
    ):
        sidecar.wait_until_ready()
        before = _processor_seconds(sidecar.process.pid)
        time.sleep(2)
        assert _processor_seconds(sidecar.process.pid) - before < 0.4


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_is_lost_when_the_application_is_killed_and_comes_back(components: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    ledger = tmp_path / "ledger"
    ledger.touch()
    arguments: list[str | Path] = [sys.executable, HERE / "ledger_app.py", str(port), str(ledger)]
    count = 300
    with Sidecar(components, "--app-port", str(port)) as sidecar:
        with Process(arguments):
            for number in range(count):
                assert invoke(sidecar, "checkout", number) in (200, 204)
            _until(lambda: len(ledger.read_text().splitlines()) >= count // 3)
        # Killed, with an event or two in its hands.
        handled = len(ledger.read_text().splitlines())
        with Process(arguments):
            _until(lambda: len(set(ledger.read_text().splitlines())) == count)
        lines = ledger.read_text().splitlines()
        assert sorted(set(lines), key=int) == [str(number) for number in range(count)]
        # Only what was in its hands came twice.
        assert len(lines) - count <= 3, f"{handled} handled when it was killed, {len(lines)} in all"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.02)
