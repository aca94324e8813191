"""The migration module where the environment names a sidecar, as under `dapr run`."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

import bindwright
from bindwright.dapr import App, BindingRequest, DaprClient, aio
from bindwright.errors import InvalidOptionsError, PayloadTooLargeError, UnavailableError
from conftest import wait_until
from sidecars import Sidecar, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Folder


@pytest.fixture
def sidecar(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sidecar]:
    """A sidecar that the environment names; there are no components for a client that is embedded."""
    folder.memory()
    for name in ("BINDWRIGHT_TRANSPORT", "DAPR_GRPC_ENDPOINT", "DAPR_HTTP_ENDPOINT", "DAPR_RUNTIME_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BINDWRIGHT_RESOURCES", str(folder.path / "nowhere"))
    with Sidecar(folder.path, "sidecar-grpc") as sidecar:
        monkeypatch.setenv("DAPR_GRPC_PORT", sidecar.grpc.rpartition(":")[2])
        monkeypatch.setenv("DAPR_HTTP_PORT", sidecar.http.rpartition(":")[2])
        monkeypatch.setenv("APP_PORT", str(sidecar.app_port))
        yield sidecar


def test_a_program_that_changed_its_import_goes_through_the_sidecar(sidecar: Sidecar) -> None:
    app = App()
    seen: list[BindingRequest] = []

    @app.binding("orders")
    def on_order(request: BindingRequest) -> None:
        seen.append(request)
        if len(seen) == 1:
            raise ValueError("not yet")

    thread = threading.Thread(target=app.run)
    thread.start()
    try:
        with DaprClient() as client:
            client.invoke_binding("orders", "create", '{"orderId": 1}', {"colour": "green"})
            wait_until(lambda: len(seen) == 2)
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
    finally:
        app.stop()
        thread.join(30)
    assert not thread.is_alive()
    assert seen[1].text() == '{"orderId": 1}'
    assert seen[1].binding_metadata["colour"] == "green"
    assert "traceparent" in seen[1].metadata

    async def main() -> object:
        async with aio.DaprClient() as client:
            await client.invoke_binding("orders", "create", b"\x00\xff")
            return (await client.invoke_binding("orders", "size")).json()

    assert asyncio.run(main()) == 1


def test_an_address_says_where_and_the_environment_whether(
    sidecar: Sidecar, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = sidecar.grpc
    monkeypatch.setenv("DAPR_GRPC_PORT", str(free_port()))
    with DaprClient(address) as client:
        assert client.invoke_binding("orders", "size").json() == 0
    # Also where only the port for HTTP is told: the SDK speaks gRPC.
    monkeypatch.delenv("DAPR_GRPC_PORT")
    with DaprClient(address) as client:
        assert client.invoke_binding("orders", "size").json() == 0
    monkeypatch.setenv("DAPR_RUNTIME_HOST", "localhost")
    monkeypatch.setenv("DAPR_GRPC_PORT", address.rpartition(":")[2])
    with DaprClient() as client:
        assert client.invoke_binding("orders", "size").json() == 0
    monkeypatch.setenv("BINDWRIGHT_TRANSPORT", "embedded")
    monkeypatch.setenv("BINDWRIGHT_RESOURCES", str(folder.path))
    with DaprClient(address) as client, bindwright.Client() as peer:
        client.invoke_binding("orders", "create", "a")
        assert peer.invoke_binding("orders", "size").json() == 1
    monkeypatch.setenv("BINDWRIGHT_TRANSPORT", "pigeon")
    with pytest.raises(InvalidOptionsError, match="pigeon"):
        DaprClient()


def test_the_longest_message_counts(sidecar: Sidecar) -> None:
    with DaprClient(max_grpc_message_length=100) as client:
        client.invoke_binding("orders", "create", "a")
        with pytest.raises(PayloadTooLargeError):
            client.invoke_binding("orders", "create", "a" * 101)


def test_waiting_waits_for_the_sidecar(sidecar: Sidecar) -> None:
    with DaprClient() as client, pytest.warns(DeprecationWarning, match="themselves"):
        client.wait(10)
    nobody = f"127.0.0.1:{free_port()}"
    with (
        DaprClient(nobody) as client,
        pytest.warns(DeprecationWarning, match="themselves"),
        pytest.raises(UnavailableError),
    ):
        client.wait(0.2)

    async def main() -> None:
        async with aio.DaprClient(nobody) as client:
            with pytest.warns(DeprecationWarning, match="themselves"), pytest.raises(UnavailableError):
                await client.wait(0.2)

    asyncio.run(main())


def test_an_app_opens_the_port_that_it_is_given(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PORT", "no port")
    app = App()
    app.binding("orders")(lambda _: app.stop())
    with pytest.raises(InvalidOptionsError, match="no port"):
        app.run()
    monkeypatch.setenv("APP_PORT", str(free_port()))
    with DaprClient() as client:
        client.invoke_binding("orders", "create", "a")
        app.run(sidecar.app_port)
        wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
