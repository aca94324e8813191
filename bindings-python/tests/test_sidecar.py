"""Calls through a sidecar: which one, with which token, what passes, and how a call ends."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent import futures
from typing import TYPE_CHECKING, Any, cast

import pytest

from aio_blocking import AioBlocking
from bindwright import Client, aio
from bindwright.errors import (
    ComponentNotFoundError,
    InvalidOptionsError,
    InvalidRequestError,
    PayloadTooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from conftest import wait_until
from sidecars import Sidecar, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder, Program
    from sidecars import Transport

TRANSPORTS: list[Transport] = ["sidecar-grpc", "sidecar-http"]
OF_A_SIDECAR = [
    "BINDWRIGHT_TRANSPORT",
    "BINDWRIGHT_MAX_MESSAGE_SIZE",
    "BINDWRIGHT_SIDECAR_CA",
    "DAPR_GRPC_ENDPOINT",
    "DAPR_GRPC_PORT",
    "DAPR_HTTP_ENDPOINT",
    "DAPR_HTTP_PORT",
    "DAPR_API_TOKEN",
    "DAPR_API_MAX_RETRIES",
    "APP_PORT",
    "APP_API_TOKEN",
]

both = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture(autouse=True)
def no_sidecar_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_A_SIDECAR:
        monkeypatch.delenv(name, raising=False)


# ---- options


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"transport": "carrier-pigeon"}, "carrier-pigeon"),
        ({"sidecar_endpoint": "host:5000/v1"}, "host:5000/v1"),
        ({"transport": "sidecar-http", "sidecar_endpoint": "host:3500"}, "http://host:port"),
        ({"transport": "sidecar-grpc", "sidecar_ca": "nowhere.pem"}, "nowhere.pem"),
        ({"transport": "sidecar-grpc", "sidecar_token": "two\nlines"}, "token"),
        ({"app_port": 70_000}, "app_port: expected 1 to 65535, got 70000"),
        ({"transport": "sidecar-grpc", "app_port": 0}, "app_port: expected 1 to 65535, got 0"),
        ({"app_port": -1}, "app_port"),
        ({"transport": "sidecar-grpc", "max_message_size": 0}, "max_message_size"),
        ({"max_message_size": -1}, "max_message_size: expected at least 1, got -1"),
        ({"max_retries": 1 << 70}, "max_retries"),
    ],
)
@pytest.mark.parametrize("opens", [Client, aio.Client], ids=["blocking", "asyncio"])
def test_options_that_cannot_be_used_are_refused(
    opens: Callable[..., object], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidOptionsError) as raised:
        opens(**options)
    assert text in str(raised.value)
    assert "two" not in str(raised.value), "a token is a secret"


@pytest.mark.parametrize(
    "options",
    [
        {"sidecar_endpoint": 50001},
        {"sidecar_token": b"token"},
        {"sidecar_ca": 1},
        {"app_token": 1},
        {"app_port": "3000"},
        {"app_port": True},
        {"max_retries": 1.5},
        {"max_message_size": "4Mi"},
    ],
)
def test_options_of_another_type_are_type_errors(options: dict[str, Any]) -> None:
    (name,) = options
    for opens in (Client, aio.Client):
        with pytest.raises(TypeError, match=name):
            cast("Any", opens)(**options)


def test_the_environment_and_the_arguments_choose_the_way(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.memory()
    monkeypatch.setenv("BINDWRIGHT_RESOURCES", str(folder.path))

    def chosen(**options: Any) -> str:
        with Client(**options) as client:
            return client.transport

    assert chosen() == "embedded"
    assert chosen(sidecar_endpoint="localhost:1") == "sidecar-grpc"
    monkeypatch.setenv("DAPR_HTTP_PORT", "1")
    assert chosen() == "sidecar-http"
    monkeypatch.setenv("DAPR_GRPC_PORT", "1")
    assert chosen() == "sidecar-grpc"
    monkeypatch.setenv("BINDWRIGHT_TRANSPORT", "sidecar-http")
    assert chosen() == "sidecar-http"
    assert chosen(resources=folder.path) == "embedded"
    assert chosen(resources=folder.path, transport="sidecar-grpc") == "sidecar-grpc"
    monkeypatch.setenv("BINDWRIGHT_TRANSPORT", "embedded")
    assert chosen() == "embedded"
    assert asyncio.run(_transport_of_aio()) == "embedded"
    monkeypatch.setenv("BINDWRIGHT_TRANSPORT", "pigeon")
    with pytest.raises(InvalidOptionsError, match="pigeon"):
        Client()


async def _transport_of_aio() -> str:
    async with aio.Client() as client:
        return client.transport


def test_a_client_shows_no_secrets() -> None:
    with Client(
        transport="sidecar-grpc", sidecar_endpoint="127.0.0.1:1", sidecar_token="hunter2", app_token="hunter3"
    ) as client:
        with pytest.raises(UnavailableError) as raised:
            client.invoke_binding("orders", "create", timeout=0.1)
        shown = f"{client!r} {raised.value!r} {raised.value}"
    assert "hunter" not in shown
    assert "127.0.0.1:1" in shown


# ---- with a sidecar


@pytest.fixture
def orders(folder: Folder) -> Folder:
    folder.memory()
    return folder


@both
def test_the_environment_names_the_sidecar(
    orders: Folder, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sidecar(orders.path, transport) as sidecar:
        monkeypatch.setenv("BINDWRIGHT_TRANSPORT", transport)
        monkeypatch.setenv("DAPR_HTTP_PORT", sidecar.http.rpartition(":")[2])
        monkeypatch.setenv("DAPR_GRPC_PORT", sidecar.grpc.rpartition(":")[2])
        with Client() as client:
            assert client.invoke_binding("orders", "create", {"a": 1}).metadata["position"] == "0"
            assert client.invoke_binding("orders", "size").json() == 1


@both
def test_components_and_ready_ask_the_sidecar(orders: Folder, transport: Transport) -> None:
    orders.memory("letters", direction="output")
    with Sidecar(orders.path, transport) as sidecar:
        with Client(wait="ready", **sidecar.options) as client:
            client.ready(10)
            letters, both_ways = client.components()
            with pytest.raises(InvalidOptionsError, match="reload"):
                client.reload()
            assert client.faults() == []

        async def main() -> list[str]:
            async with aio.Client(wait="ready", **sidecar.options) as client:
                await client.ready(10)
                return [one.name for one in await client.components()]

        assert asyncio.run(main()) == ["letters", "orders"]
    assert (letters.name, letters.type, letters.version) == ("letters", "bindings.memory", "v1")
    assert (letters.input, letters.output, letters.state) == (False, True, "ready")
    assert (both_ways.name, both_ways.input, both_ways.output) == ("orders", True, True)
    assert (both_ways.error, both_ways.redelivery, both_ways.retries) == (None, None, None)


@both
def test_without_a_sidecar_ready_and_components_are_unavailable(transport: Transport) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}" if transport == "sidecar-http" else f":{free_port()}"
    with Client(transport=transport, sidecar_endpoint=endpoint, timeout=0.2) as client:
        with pytest.raises(UnavailableError, match="no connection to the sidecar"):
            client.ready(0.2)
        with pytest.raises(UnavailableError):
            client.components()
    with pytest.raises(UnavailableError):
        Client(transport=transport, sidecar_endpoint=endpoint, wait="ready", wait_timeout=0.2)

    async def main() -> None:
        async with aio.Client(transport=transport, sidecar_endpoint=endpoint, timeout=0.2) as client:
            with pytest.raises(UnavailableError):
                await client.components()

    asyncio.run(main())


@both
@pytest.mark.parametrize("opens", [Client, AioBlocking], ids=["blocking", "asyncio"])
def test_a_call_waits_for_a_sidecar_that_starts_later(
    orders: Folder, transport: Transport, opens: Callable[..., Client | AioBlocking]
) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}" if transport == "sidecar-http" else f"127.0.0.1:{port}"
    client = opens(transport=transport, sidecar_endpoint=endpoint)
    with futures.ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.invoke_binding, "orders", "create", {"a": 1}, None, 25)
        with contextlib.suppress(TimeoutError):
            call.result(1)
        assert not call.done()
        with Sidecar(orders.path, transport, port=port):
            assert call.result(25).metadata["position"] == "0"
    client.close(1.0)


@both
def test_the_token_is_shown_and_a_wrong_one_refused(orders: Folder, transport: Transport) -> None:
    with Sidecar(orders.path, transport, variables={"DAPR_API_TOKEN": "right"}) as sidecar:
        with Client(sidecar_token="right", **sidecar.options) as client:
            client.invoke_binding("orders", "create", {"a": 1})
            assert client.components()
        for token in ("wrong", None):
            with Client(sidecar_token=token, **sidecar.options) as client:
                with pytest.raises(UnauthenticatedError, match="DAPR_API_TOKEN") as raised:
                    client.invoke_binding("orders", "create", {"a": 1}, timeout=10)
                assert "wrong" not in str(raised.value)
                assert raised.value.retriable is False
                with pytest.raises(UnauthenticatedError):
                    client.components()


@both
def test_what_fails_there_has_the_codes_of_here(orders: Folder, transport: Transport) -> None:
    orders.memory("down", failures="UNAVAILABLE")
    with Sidecar(orders.path, transport) as sidecar, Client(**sidecar.options) as client:
        with pytest.raises(ComponentNotFoundError) as missing:
            client.invoke_binding("nowhere", "create", {"a": 1})
        with pytest.raises(UnavailableError) as down:
            client.invoke_binding("down", "create", {"a": 1})
        results = client.invoke_many("orders", "create", [{"a": 1}, object(), {"a": 2}])
    assert (missing.value.component, missing.value.operation) == ("nowhere", "create")
    assert down.value.retriable is True
    assert [isinstance(result, InvalidRequestError) for result in results] == [False, True, False]


# ---- what passes


def test_http_carries_values_and_what_arrives_unchanged(orders: Folder) -> None:
    with Sidecar(orders.path, "sidecar-http") as sidecar, Client(**sidecar.options) as client:
        values: list[object] = [{"b": 1, "a": "<ä>"}, [1, 2.5], 7, True, b'{"a":1}', "17", '"text"']
        for value in values:
            client.invoke_binding("orders", "create", value)
        for refused in ("text", b"\x00\xff", '{"a": 1}', "1.0", '{"b":1,"a":2}'):
            with pytest.raises(InvalidRequestError, match="sidecar-grpc"):
                client.invoke_binding("orders", "create", refused)
        results = client.invoke_many("orders", "create", [{"many": 1}, "text"])
        assert isinstance(results[1], InvalidRequestError)
        with client.events("orders") as events:
            arrived = []
            for _ in range(len(values) + 1):
                event = next(events)
                arrived.append(event.json())
                event.ack()
    expected = [{"b": 1, "a": "<ä>"}, [1, 2.5], 7, True, {"a": 1}, 17, "text", {"many": 1}]
    assert arrived == expected


def test_grpc_carries_bytes_as_they_are(orders: Folder) -> None:
    with Sidecar(orders.path, "sidecar-grpc") as sidecar, Client(**sidecar.options) as client:
        sent = [b"\x00\xff", "täglich".encode(), b'{"a": 1}', b""]
        for data in sent:
            client.invoke_binding("orders", "create", data)
        client.invoke_binding("orders", "create", None)
        with client.events("orders") as events:
            for data in [*sent, b""]:
                event = next(events)
                assert event.data == data
                event.ack()


@both
def test_a_message_over_a_limit_is_too_large(orders: Folder, transport: Transport) -> None:
    data = {"a": "x" * (5 << 20)}
    with Sidecar(orders.path, transport) as sidecar:
        with (
            Client(**sidecar.options) as client,
            pytest.raises(PayloadTooLargeError, match="max_message_size"),
        ):
            client.invoke_binding("orders", "create", data)
        with Client(max_message_size=8 << 20, **sidecar.options) as client:
            with pytest.raises(PayloadTooLargeError, match="max-body-size"):
                client.invoke_binding("orders", "create", data)
            assert client.invoke_binding("orders", "size").json() == 0
    with (
        Sidecar(orders.path, transport, "--max-body-size", "8Mi") as sidecar,
        Client(max_message_size=8 << 20, **sidecar.options) as client,
    ):
        client.invoke_binding("orders", "create", data)
        assert client.invoke_binding("orders", "size").json() == 1


@both
def test_a_forked_child_opens_a_client_of_its_own(
    program: Program, orders: Folder, transport: Transport
) -> None:
    with Sidecar(orders.path, transport) as sidecar:
        process = program(
            "import os, signal, sys\n"
            "signal.alarm(45)\n"
            "from bindwright import Client, errors\n"
            "options = {'transport': sys.argv[1], 'sidecar_endpoint': sys.argv[2]}\n"
            "client = Client(**options)\n"
            "client.invoke_binding('orders', 'create', {'a': 1})\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    for call in (lambda: client.invoke_binding('orders', 'size'), client.components):\n"
            "        try:\n"
            "            print('returned', call())\n"
            "        except errors.ForkedError:\n"
            "            print('refused')\n"
            "    with Client(**options) as own:\n"
            "        print(own.invoke_binding('orders', 'size').text())\n"
            "    sys.exit(0)\n"
            "print('child:', os.waitpid(child, 0)[1])\n"
            "print(client.invoke_binding('orders', 'size').text())\n",
            transport,
            sidecar.endpoint,
        )
        out, error = process.communicate(timeout=50)
    assert (out.splitlines(), error) == (["refused", "refused", "1", "child: 0", "1"], "")


def test_calls_of_many_threads_share_a_client(orders: Folder) -> None:
    with Sidecar(orders.path, "sidecar-grpc") as sidecar, Client(**sidecar.options) as client:
        with futures.ThreadPoolExecutor(16) as threads:
            calls = [threads.submit(client.invoke_binding, "orders", "create", {"a": 1}) for _ in range(200)]
            positions = {call.result().metadata["position"] for call in calls}
        assert len(positions) == 200
        wait_until(lambda: client.invoke_binding("orders", "size").json() == 200)
