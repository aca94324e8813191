"""What docs/serve.md shows is done as it stands there, with free ports in the place of its own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from ports import free_ports
from sidecar import HERE, PATIENCE, Process, Sidecar, command, component

pytestmark = pytest.mark.timeout(240)

DOCUMENT = HERE.parent.parent / "docs" / "serve.md"
BLOCK = re.compile(r"^```text\n(bindwright .*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(DOCUMENT.read_text())
CONFIGURATION = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_document_has_blocks_to_be_done() -> None:
    assert {"run", "serve"} <= {block.split()[1] for block in BLOCKS}


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split()[1] for block in BLOCKS])
def test_a_block_of_the_document_does_what_it_shows(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_port, http, grpc, metrics = free_ports(4)
    folder = tmp_path / "components"
    folder.mkdir()
    component(folder, "checkout", "bindings.memory")
    shutil.copy(HERE / "howto" / "receive.py", tmp_path / "app.py")
    monkeypatch.chdir(tmp_path)
    lines = block.replace("3000", str(app_port)).replace("3500", str(http)).splitlines()
    own = ("--dapr-http-port", str(http), "--dapr-grpc-port", str(grpc), "--metrics-port", str(metrics))
    # The first word is the command of this test, the flags of ports stand behind its second one.
    words = [sys.executable if word == "python" else word for word in shlex.split(lines[0])]
    with ExitStack() as running:
        server = running.enter_context(Process([command(), words[1], *own, *words[2:]]))
        received = server
        if "run" not in words:
            application = Process([sys.executable, tmp_path / "app.py"], {"APP_PORT": str(app_port)})
            received = running.enter_context(application)
        server.line("events go to the application")
        calls = lines[1:] or [
            f'curl -d \'{{"operation":"create","data":1}}\' http://127.0.0.1:{http}/v1.0/bindings/checkout'
        ]
        for line in calls:
            sent = ["curl", "-s", "-f", *shlex.split(line)[1:]]
            done = subprocess.run(sent, capture_output=True, text=True, check=False, timeout=PATIENCE)
            assert done.returncode == 0, f"{line}: {done}"
            received.line("received ")
        assert server.end() == 0


def test_configurations_of_the_document_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "components"
    folder.mkdir()
    for text in CONFIGURATION.findall(DOCUMENT.read_text()):
        file = tmp_path / "configuration.yaml"
        file.write_text(text)
        with Sidecar(folder, "--config", str(file)) as sidecar:
            sidecar.wait_until_ready()
            assert not [line for line in sidecar.lines if " WARN " in line], sidecar.lines
            assert sidecar.end() == 0
