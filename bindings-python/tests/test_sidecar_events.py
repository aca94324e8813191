"""Events through a sidecar, which come to a port of the program."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bindwright import Client, Emission, Event, Outcome, aio
from bindwright.errors import InvalidOptionsError
from conftest import running, wait_until
from sidecars import Sidecar

if TYPE_CHECKING:
    from conftest import Folder
    from sidecars import Transport

both = pytest.mark.parametrize("transport", ["sidecar-grpc", "sidecar-http"])


@pytest.fixture
def orders(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    for name in ("APP_PORT", "APP_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    folder.memory()
    return folder


@both
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_handlers_are_the_same_program(orders: Folder, transport: Transport, protocol: str) -> None:
    orders.memory("letters")
    seen: list[tuple[object, int]] = []
    with (
        Sidecar(orders.path, transport, "--app-protocol", protocol) as sidecar,
        Client(**sidecar.options) as client,
    ):

        @client.binding("orders")
        def on_order(event: Event) -> Outcome | None:
            seen.append((event.json(), event.attempt))
            if event.json() == 1 and event.attempt == 1:
                raise ValueError("not yet")
            if event.json() == 2:
                return Outcome.emit(Emission("letters", {"of": 2}))
            return None

        for number in (1, 2, 3):
            client.invoke_binding("orders", "create", number)
        with running(client):
            wait_until(lambda: len(seen) == 4)
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
            assert client.invoke_binding("letters", "size").json() == 1
    assert seen == [(1, 1), (1, 2), (2, 1), (3, 1)]


@both
def test_handlers_on_a_loop_are_the_same_program(orders: Folder, transport: Transport) -> None:
    seen: list[object] = []
    with Sidecar(orders.path, transport) as sidecar:

        async def main() -> None:
            async with aio.Client(**sidecar.options) as client:

                @client.binding("orders")
                async def on_order(event: Event) -> None:
                    await asyncio.sleep(0)
                    seen.append(event.json())
                    if len(seen) == 3:
                        client.stop()

                for number in range(3):
                    await client.invoke_binding("orders", "create", number)
                await client.run()

        asyncio.run(main())
    assert seen == [0, 1, 2]


@both
def test_without_a_port_nothing_can_be_received(orders: Folder, transport: Transport) -> None:
    with Sidecar(orders.path, transport) as sidecar:
        options = sidecar.options | {"app_port": None}
        with Client(**options) as client:
            with pytest.raises(InvalidOptionsError, match="APP_PORT"):
                client.events("orders")
            client.binding("orders")(print)
            with pytest.raises(InvalidOptionsError, match="app_port"):
                client.start()
            # Calls need none.
            client.invoke_binding("orders", "create", {"a": 1})

        async def main() -> None:
            async with aio.Client(**options) as client:
                with pytest.raises(InvalidOptionsError, match="APP_PORT"):
                    await anext(client.events("orders"))

        asyncio.run(main())


def test_the_environment_names_the_port(orders: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sidecar(orders.path, "sidecar-grpc") as sidecar:
        monkeypatch.setenv("APP_PORT", str(sidecar.app_port))
        with Client(**(sidecar.options | {"app_port": None})) as client:
            client.invoke_binding("orders", "create", {"a": 1})
            with client.events("orders") as events:
                assert next(events).json() == {"a": 1}


@both
def test_a_second_client_on_a_port_is_refused(orders: Folder, transport: Transport) -> None:
    with (
        Sidecar(orders.path, transport) as sidecar,
        Client(**sidecar.options) as first,
        Client(**sidecar.options) as second,
    ):
        events = first.events("orders")
        with pytest.raises(InvalidOptionsError, match=f"port {sidecar.app_port} ") as raised:
            second.events("orders")
        assert "app_port" in str(raised.value)
        # The first is not disturbed, and the second can call.
        second.invoke_binding("orders", "create", {"a": 1})
        event = next(events)
        assert event.json() == {"a": 1}
        event.ack()
        events.close()
        first.close()
        # The port is free again.
        second.invoke_binding("orders", "create", {"a": 2})
        with second.events("orders") as others:
            event = next(others)
            assert event.json() == {"a": 2}
            event.ack()


@both
def test_events_show_the_token(orders: Folder, transport: Transport) -> None:
    with Sidecar(orders.path, transport, variables={"APP_API_TOKEN": "right"}) as sidecar:
        with Client(app_token="wrong", **sidecar.options) as client, client.events("orders"):
            client.invoke_binding("orders", "create", {"a": 1})
            wait_until(lambda: "does not show the token" in sidecar.log)
            assert client.invoke_binding("orders", "size").json() == 1
        with Client(app_token="right", **sidecar.options) as client, client.events("orders") as events:
            assert next(events).ack()
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)


@both
@pytest.mark.parametrize("drain", [0.0, 10.0])
def test_closing_leaves_nothing_unanswered(orders: Folder, transport: Transport, drain: float) -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[str] = []
    with Sidecar(orders.path, transport) as sidecar:
        with Client(**sidecar.options) as client:

            @client.binding("orders")
            def on_order(event: Event) -> None:
                begun.set()
                if go_on.wait(30):
                    handled.append(event.text())

            client.invoke_binding("orders", "create", "1")
            client.invoke_binding("orders", "create", "2")
            client.start()
            assert begun.wait(20)
            closing = threading.Thread(target=client.close, args=(drain,))
            closing.start()
            if drain > 0.0:
                # What was begun may end, and counts.
                go_on.set()
            closing.join(20)
            assert not closing.is_alive()
        assert bool(handled) == (drain > 0.0)
        # What was not answered comes to the next client, in order. The second event may have begun as well.
        left = ["1", "2"][len(handled) :]
        with Client(**sidecar.options) as client, client.events("orders") as events:
            for text in left:
                event = next(events)
                assert event.text() == text
                event.ack()
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
        go_on.set()


@both
def test_pulled_events_are_settled_one_by_one(orders: Folder, transport: Transport) -> None:
    with Sidecar(orders.path, transport) as sidecar, Client(**sidecar.options) as client:
        client.invoke_binding("orders", "create", "1", {"colour": "green"})
        with client.events("orders") as events:
            first = next(events)
            assert first.metadata["colour"] == "green"
            assert first.traceparent is not None
            assert first.retry()
            again = next(events)
            assert (again.text(), again.attempt) == ("1", 2)
            assert again.drop()
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)


@both
def test_batches_come_together(folder: Folder, transport: Transport) -> None:
    folder.memory(partitions="4")
    seen: list[str] = []
    with Sidecar(folder.path, transport) as sidecar, Client(**sidecar.options) as client:

        @client.binding("orders", batch=10)
        def on_orders(events: list[Event]) -> None:
            seen.extend(event.text() for event in events)

        sent: list[Any] = [str(number) for number in range(20)]
        client.invoke_many("orders", "create", sent, [{"partitionKey": text} for text in sent])
        with running(client):
            wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
    assert sorted(seen) == sorted(sent)
