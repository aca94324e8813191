"""Dapr's SDK for Java against `bindwright serve`, unmodified: as client and as application."""

from __future__ import annotations

from pathlib import Path

import java_sdk
import pytest
from kafka_install import ServerMissing
from ports import free_ports
from sidecar import PATIENCE, Process, Sidecar
from skipping import skip

# The first time its packages are fetched.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def program() -> list[str | Path]:
    """The program of `java/`, compiled."""
    try:
        return java_sdk.command()
    except ServerMissing as missing:
        skip(str(missing))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_program_sends_and_its_application_receives_everything(
    protocol: str, program: list[str | Path], components: Path
) -> None:
    (port,) = free_ports(1)
    with (
        Process([*program, "app", protocol, str(port)]) as application,
        Sidecar(components, "--app-port", str(port), "--app-protocol", protocol) as sidecar,
    ):
        sidecar.wait_until_ready()
        with Process([*program, "send"], sidecar.variables) as sender:
            assert "couldn't find output binding nothing" in sender.line("failed: ")
            assert sender.line("components: ") == "checkout"
            assert sender.process.wait(timeout=PATIENCE) == 0
        assert application.line("failed ") == "2"
        assert [application.line("received ") for _ in range(5)] == ["1", "2", "3", "4", "5"]
