"""A Jupyter kernel: cells use a client, an interrupt ends a waiting call, a restart begins anew."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

    from conftest import Folder

SECONDS = 20.0

OPEN = """
import atexit, pathlib
from bindwright import Client
client = Client(".")
events = client.events("orders")
def send_and_receive(text):
    client.invoke_binding("orders", "create", text)
    event = next(events)
    print(event.text(), event.ack())
_ = atexit.register(lambda: pathlib.Path("ended").touch())
send_and_receive("first")
"""
AWAIT = """
from bindwright import aio
async with aio.Client(".") as other:
    await other.invoke_binding("orders", "create", "awaited")
event = next(events)
print(event.text(), event.ack())
"""
WAITS = [
    ("client.invoke_binding('slow', 'create', b'')", "invoke_binding"),
    ("next(events)", "next(events)"),
]


class Cells:
    """Runs cells one after the other."""

    def __init__(self, kernel: BlockingKernelClient) -> None:
        self._kernel = kernel

    def wait_for_ready(self) -> None:
        self._kernel.wait_for_ready(timeout=SECONDS)

    def run(
        self, source: str, on_output: Callable[[str], None] = lambda _: None
    ) -> tuple[str, dict[str, Any]]:
        """What the cell printed, and how it ended."""
        printed: list[str] = []

        def output(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
                on_output(printed[-1])

        reply = self._kernel.execute_interactive(
            source, allow_stdin=False, timeout=SECONDS, output_hook=output, store_history=False
        )
        return "".join(printed), reply["content"]


@contextmanager
def kernel(folder: Folder) -> Iterator[tuple[KernelManager, Cells]]:
    manager = KernelManager(kernel_name="python3", shutdown_wait_time=SECONDS)
    manager.start_kernel(cwd=str(folder.path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield manager, Cells(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(autouse=True)
def nothing_of_the_users(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, histories and kernels of the user do not count."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(folder.path / name.lower()))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def test_cells_use_a_client_are_interrupted_and_go_on_after_a_restart(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("slow", delay="10m")
    with kernel(folder) as (manager, cells):
        printed, reply = cells.run(OPEN)
        assert (printed, reply["status"]) == ("first True\n", "ok"), reply

        # The kernel has a loop of its own, which runs what is awaited in a cell.
        printed, reply = cells.run(AWAIT)
        assert (printed, reply["status"]) == ("awaited True\n", "ok"), reply

        for waiting, line in WAITS:
            began = time.monotonic()
            # Printed just before the call: the signal comes while it waits.
            _, reply = cells.run(f"print('waits')\n{waiting}", lambda _: manager.interrupt_kernel())
            assert reply["status"] == "error", reply
            assert reply["ename"] == "KeyboardInterrupt", reply
            assert line in "\n".join(reply["traceback"])
            assert time.monotonic() - began < SECONDS / 2
            printed, reply = cells.run("send_and_receive('afterwards')")
            assert (printed, reply["status"]) == ("afterwards True\n", "ok"), reply

        # The kernel is asked to end, with its client open; only one that does not end would be killed.
        ended = folder.path / "ended"
        assert not ended.exists()
        began = time.monotonic()
        manager.restart_kernel(now=False)
        assert ended.exists()
        assert time.monotonic() - began < SECONDS / 2
        cells.wait_for_ready()
        printed, reply = cells.run(OPEN)
        assert (printed, reply["status"]) == ("first True\n", "ok"), reply
