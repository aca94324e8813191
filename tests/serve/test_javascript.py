"""Dapr's SDK for JavaScript against `bindwright serve`, unmodified: as client and as application."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_packages import FOLDER, node_with_packages
from ports import free_ports
from sidecar import PATIENCE, Process, Sidecar

# The first time its packages are fetched and built.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the SDK installed."""
    return node_with_packages()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_program_sends_and_its_application_receives_everything(protocol: str, node: str, components: Path) -> None:
    (port,) = free_ports(1)
    with (
        Sidecar(components, "--app-port", str(port), "--app-protocol", protocol) as sidecar,
        Process([node, FOLDER / "app.mjs", protocol, str(port)], sidecar.variables) as application,
    ):
        sidecar.wait_until_ready()
        with Process([node, FOLDER / "send.mjs", protocol], sidecar.variables) as sender:
            assert "couldn't find output binding nothing" in sender.line("failed: ")
            assert sender.line("components: ") == "checkout"
            assert sender.process.wait(timeout=PATIENCE) == 0
        assert application.line("failed ") == "2"
        assert [application.line("received ") for _ in range(5)] == ["1", "2", "3", "4", "5"]
