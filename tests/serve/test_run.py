"""`bindwright run`: a program and its bindings, started and ended together."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from ports import free_ports
from sidecar import HERE, Process, command, component

pytestmark = pytest.mark.timeout(240)

SEND = """
import os, urllib.request
assert os.environ["APP_ID"] == "shop", os.environ["APP_ID"]
url = f"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/bindings/checkout"
with urllib.request.urlopen(url, b'{"operation": "create", "data": 1}') as answer:
    print("sent", answer.status)
"""


def _run(components: Path, *words: str | Path) -> Process:
    return Process([command(), "run", "--app-id", "shop", "--resources-path", components, *words])


def test_a_program_finds_its_bindings_and_ends_them_with_itself(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    with _run(tmp_path, "--", sys.executable, "-c", SEND) as both:
        assert both.line("== APP == sent ") == "204"
        assert both.process.wait(timeout=60) == 0


def test_the_status_of_a_program_that_failed_is_a_failure(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    with _run(tmp_path, "--", sys.executable, "-c", "raise SystemExit(3)") as both:
        assert "exit status: 3" in both.line("the program ended with ")
        assert both.process.wait(timeout=60) == 1


def test_the_end_ends_the_program_after_its_events(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    (port,) = free_ports(1)
    with _run(tmp_path, "--app-port", str(port), "--", sys.executable, HERE / "http_app.py", str(port)) as both:
        both.line("events go to the application")
        assert both.end() == 0
    # The program ended as well: its port is free.
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    with _run(tmp_path, "--", tmp_path / "nothing") as both:
        assert "nothing does not start" in both.line("bindwright: ")
        assert both.process.wait(timeout=60) == 1
