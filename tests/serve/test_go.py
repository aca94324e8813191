"""Dapr's SDK for Go against `bindwright serve`, unmodified: as client and as application."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from downloads import fetch
from ports import free_ports
from sidecar import HERE, PATIENCE, Process, Sidecar
from skipping import skip

# The first time its packages are fetched and built.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of `go/`, built."""
    go = shutil.which("go")
    out = tmp_path_factory.mktemp("go") / "program"
    if go is None:
        skip("no Go")
    built = fetch([go, "build", "-o", out, "."], seconds=800, folder=HERE / "go")
    if built.returncode != 0:
        skip(f"Dapr's SDK cannot be had: {built.stderr}")
    return out


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_program_sends_and_its_application_receives_everything(
    protocol: str, program: Path, components: Path
) -> None:
    (port,) = free_ports(1)
    with (
        Process([program, "app", protocol, str(port)]) as application,
        Sidecar(components, "--app-port", str(port), "--app-protocol", protocol) as sidecar,
    ):
        sidecar.wait_until_ready()
        with Process([program, "send"], sidecar.variables) as sender:
            assert "couldn't find output binding nothing" in sender.line("failed: ")
            assert sender.line("components: ") == "checkout"
            assert sender.process.wait(timeout=PATIENCE) == 0
        assert application.line("failed ") == "2"
        assert [application.line("received ") for _ in range(5)] == ["1", "2", "3", "4", "5"]
