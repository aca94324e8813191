"""pytest-xdist: every worker is a process of its own that opens clients as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts import run

if TYPE_CHECKING:
    from conftest import Folder

# The first test of a worker waits for the other worker, so both take part.
PROJECT = """
import pathlib, time
import pytest
from bindwright import Client

@pytest.fixture(scope="session")
def client(worker_id):
    with Client(".") as client:
        pathlib.Path(f"worker-{worker_id}").touch()
        deadline = time.monotonic() + 20
        while len(list(pathlib.Path(".").glob("worker-*"))) < 2:
            assert time.monotonic() < deadline, "the other worker did not begin"
            time.sleep(0.01)
        yield client

@pytest.mark.parametrize("number", range(6))
def test_sends_and_receives(client, worker_id, number):
    client.invoke_binding("orders", "create", f"{worker_id} {number}")
    with client.events("orders") as events:
        event = next(events)
        assert (event.text(), event.attempt) == (f"{worker_id} {number}", 1)
        assert event.ack()

def test_opens_a_client_of_its_own(worker_id):
    with Client(".") as own:
        own.invoke_binding("sent", "create", worker_id)
"""


def test_workers_of_xdist_send_and_receive(folder: Folder) -> None:
    folder.memory("orders")
    folder.kafka("sent")
    (folder.path / "test_project.py").write_text(PROJECT)
    (folder.path / "pytest.ini").write_text("[pytest]\n")
    said = run(folder.path, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-W", "error")
    assert "7 passed" in said, said
    assert {file.name for file in folder.path.glob("worker-*")} == {"worker-gw0", "worker-gw1"}
