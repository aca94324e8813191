"""Programs as Dapr's how-to has them, without any SDK, beside `bindwright serve` and under `bindwright run`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from node_packages import node_with_packages
from ports import free_ports
from sidecar import HERE, PATIENCE, Process, Sidecar, command
from skipping import skip

FOLDER = HERE / "howto"
# The first time packages are fetched and built.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None:
        skip("no Go")
    out = tmp_path_factory.mktemp("howto") / "program"
    subprocess.run([go, "build", "-o", out, FOLDER / "program.go"], check=True, timeout=600)
    return out


@pytest.fixture(params=["python", "node", "go"])
def programs(request: pytest.FixtureRequest) -> tuple[list[str | Path], list[str | Path]]:
    """The one that receives, and the one that sends."""
    if request.param == "python":
        return [sys.executable, FOLDER / "receive.py"], [sys.executable, FOLDER / "send.py"]
    if request.param == "node":
        node = node_with_packages()
        return [node, FOLDER / "receive.mjs"], [node, FOLDER / "send.mjs"]
    program = request.getfixturevalue("go_program")
    return [program, "receive"], [program, "send"]


def _order(line: str) -> str:
    """Every language prints it in its own way."""
    return "".join(letter for letter in line if letter.isdigit())


def test_a_program_of_the_how_to_sends_and_another_one_receives(
    programs: tuple[list[str | Path], list[str | Path]], components: Path
) -> None:
    receive, send = programs
    (port,) = free_ports(1)
    with (
        Process(receive, {"APP_PORT": str(port)}) as application,
        Sidecar(components, "--app-port", str(port)) as sidecar,
    ):
        sidecar.wait_until_ready()
        with Process(send, sidecar.variables) as sender:
            for order in ("1", "2", "3"):
                assert sender.line(f"sent {order} ") in ("200", "204")
            assert sender.process.wait(timeout=PATIENCE) == 0
        assert [_order(application.line("received ")) for _ in range(3)] == ["1", "2", "3"]


def test_curl_sends_what_an_application_receives(components: Path) -> None:
    (port,) = free_ports(1)
    with (
        Process([sys.executable, FOLDER / "receive.py"], {"APP_PORT": str(port)}) as application,
        Sidecar(components, "--app-port", str(port)) as sidecar,
    ):
        sidecar.wait_until_ready()
        url = f"http://localhost:{sidecar.variables['DAPR_HTTP_PORT']}/v1.0/bindings/checkout"
        words = ("-s", "-i", "-X", "POST", "-H", "Content-Type: application/json", url, "-d")
        sent = subprocess.run(
            ["curl", *words, '{ "data": 100, "operation": "create" }'],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        assert sent.stdout.split()[1] == "204", sent.stdout
        assert application.line("received ") == "100"


def test_run_starts_a_program_of_the_how_to_and_another_one_sends_to_it(components: Path) -> None:
    port, http = free_ports(2)
    flags = ("--app-id", "orders", "--app-port", str(port), "--dapr-http-port", str(http))
    paths = ("--resources-path", str(components))
    with Process([command(), "run", *flags, *paths, "--", sys.executable, FOLDER / "receive.py"]) as both:
        both.line("events go to the application")
        with Process([sys.executable, FOLDER / "send.py"], {"DAPR_HTTP_PORT": str(http)}) as sender:
            assert sender.process.wait(timeout=PATIENCE) == 0
        # APP_PORT came from `run`: the program has no other way to know it.
        assert [_order(both.line("== APP == received ")) for _ in range(3)] == ["1", "2", "3"]
        assert both.end() == 0
