"""How a call through a sidecar ends that is answered late, with too much or not at all."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from bindwright import Client, aio
from bindwright.errors import BackendError, OutcomeUnknownError, PayloadTooLargeError
from sidecar_answers import Answers

if TYPE_CHECKING:
    from conftest import Program
    from sidecars import Transport

both = pytest.mark.parametrize("transport", ["sidecar-grpc", "sidecar-http"])


@both
def test_an_answer_over_the_limit_is_too_large(transport: Transport) -> None:
    with Answers(transport, b"x" * (5 << 20)) as sidecar:
        options: dict[str, Any] = {"transport": transport, "sidecar_endpoint": sidecar.endpoint}
        with Client(**options) as client, pytest.raises(PayloadTooLargeError, match="succeeded"):
            client.invoke_binding("orders", "get")
        with Client(max_message_size=6 << 20, **options) as client:
            assert len(client.invoke_binding("orders", "get").data or b"") == 5 << 20


@both
def test_cancelling_a_task_ends_the_call_at_the_sidecar(transport: Transport) -> None:
    with Answers(transport, None) as sidecar:

        async def main() -> None:
            async with aio.Client(transport=transport, sidecar_endpoint=sidecar.endpoint) as client:
                call = asyncio.create_task(client.invoke_binding("orders", "create", {"a": 1}, timeout=60))
                assert await asyncio.to_thread(sidecar.called.wait, 20)
                assert not sidecar.ended.is_set()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert await asyncio.to_thread(sidecar.ended.wait, 20), "the sidecar still works on it"

        asyncio.run(main())


@both
def test_a_deadline_ends_the_call_at_the_sidecar(transport: Transport) -> None:
    with (
        Answers(transport, None) as sidecar,
        Client(transport=transport, sidecar_endpoint=sidecar.endpoint) as client,
    ):
        with pytest.raises(OutcomeUnknownError):
            client.invoke_binding("orders", "create", {"a": 1}, timeout=2)
        assert sidecar.ended.wait(20)


@both
def test_ctrl_c_ends_a_call_that_waits(program: Program, transport: Transport) -> None:
    with Answers(transport, None) as sidecar:
        process = program(
            "import sys\n"
            "from bindwright import Client\n"
            "client = Client(transport=sys.argv[1], sidecar_endpoint=sys.argv[2])\n"
            "try:\n"
            "    client.invoke_binding('orders', 'create', {'a': 1}, timeout=60)\n"
            "except KeyboardInterrupt:\n"
            "    print('interrupted')\n"
            "client.close()\n",
            transport,
            sidecar.endpoint,
        )
        assert sidecar.called.wait(20)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, error) == (0, "interrupted\n", "")
        assert time.monotonic() - begin < 10
        assert sidecar.ended.wait(20)


def test_something_else_than_a_sidecar_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            Client(transport="sidecar-http", sidecar_endpoint=f"http://{endpoint}") as client,
            pytest.raises(BackendError, match="does not offer its API for bindings"),
        ):
            client.invoke_binding("orders", "create", {"a": 1}, timeout=10)
        thread.join()
