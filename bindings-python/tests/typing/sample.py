"""Uses all of the public interface, for mypy and pyright in their strict modes; it is not run.

`assert_type` says what a user's editor should show; a type that is only partly known is an error in pyright.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal, assert_type

import bindwright
from bindwright import (
    BindwrightError,
    Client,
    ComponentInfo,
    Emission,
    Event,
    Events,
    Ledger,
    Outcome,
    Reload,
    Reply,
    aio,
    errors,
)
from bindwright.testing import Answer, Invocation, Progress, PushedEvent, Sandbox

log = logging.getLogger(__name__)

COMPONENT = "apiVersion: dapr.io/v1alpha1"


def open_clients() -> None:
    with Client() as client:
        assert_type(client, Client)
        assert_type(client.transport, str)
    Client("./components").close()
    Client(Path("components"), app_id="shop", transport="embedded").close(drain=1.5)
    Client(
        transport="sidecar-grpc",
        sidecar_endpoint="localhost:50001",
        sidecar_token="token",
        sidecar_ca=Path("ca.pem"),
        max_message_size=1 << 20,
        max_retries=-1,
        app_port=3000,
        app_token="token",
    ).close()
    Client(["one", Path("two")], timeout=timedelta(seconds=5), hot_reload=False).close(timedelta(0))
    Client(resources=None, wait="ready", wait_timeout=2.0).close()
    assert_type(bindwright.__version__, str)


def send(client: Client) -> None:
    reply = client.invoke_binding(
        "orders", "create", {"orderId": 1}, metadata={"partitionKey": "1"}, timeout=5.0
    )
    assert_type(reply, Reply)
    assert_type(reply.data, bytes | None)
    assert_type(reply.metadata, dict[str, str])
    assert_type(reply.text(), str)
    assert_type(reply.json(), object)
    for data in (b"", bytearray(b""), memoryview(b""), "text", [1, 2.0, None], None):
        client.invoke_binding("orders", "create", data, timeout=timedelta(seconds=1))

    for result in client.invoke_many("orders", "create", (str(number) for number in range(3))):
        assert_type(result, Reply | BindwrightError)
        if isinstance(result, BindwrightError):
            log.warning("%s", result)
        else:
            assert_type(result, Reply)
    client.invoke_many("orders", "create", [b"a", b"b"], metadata=[{"partitionKey": "a"}, None], timeout=1)
    client.invoke_many("orders", "create", [b"a"], metadata={"partitionKey": "a"})


def tell(error: BindwrightError) -> None:
    assert_type(error.code, str)
    assert_type(error.component, str | None)
    assert_type(error.operation, str | None)
    assert_type(error.retriable, bool | None)
    assert_type(error.message + error.what_to_do, str)
    assert_type(error.backend, str | None)
    assert_type(error.place, str | None)


def fail(client: Client) -> None:
    try:
        client.invoke_binding("orders", "create")
    except (errors.BindingTimeoutError, errors.UnavailableError, errors.QueueFullError) as error:
        tell(error)
    except errors.OutcomeUnknownError as error:
        tell(error)
    except BindwrightError as error:
        tell(error)


def handle(client: Client) -> None:
    @client.binding("orders")
    def on_order(event: Event) -> None:
        assert_type(event.binding, str)
        assert_type(event.data, bytes | None)
        assert_type(event.metadata, dict[str, str])
        assert_type(event.attempt, int)
        assert_type(event.traceparent, str | None)
        assert_type(event.tracestate, str | None)
        assert_type(event.text(), str)
        assert_type(event.json(), object)

    @client.binding("payments", workers=4)
    def on_payment(event: Event) -> Outcome:
        match event.attempt:
            case 1:
                return Outcome.ACK
            case 2:
                return Outcome.retry(after=timedelta(minutes=1))
            case 3:
                return Outcome.dead_letter("no such customer")
            case 4:
                return Outcome.dead_letter(ValueError("no such customer"))
            case 5:
                return Outcome.emit(
                    Emission("invoices", {"id": 1}, metadata={"partitionKey": "1"}), Emission("log")
                )
            case _:
                return Outcome.RETRY if event.data else Outcome.DROP

    @client.binding("clicks", batch=100)
    def on_clicks(events: list[Event]) -> Sequence[Outcome | None]:
        return [None if event.data else Outcome.DEAD_LETTER for event in events]

    # The decorators leave the functions what they were.
    assert_type(on_order(next(client.events("orders"))), None)
    assert_type(on_payment(next(client.events("orders"))), Outcome)
    assert_type(on_clicks([]), Sequence[Outcome | None])
    client.start()
    client.stop()
    client.run(drain=timedelta(seconds=3))


def pull(client: Client) -> None:
    with client.events("orders") as events:
        assert_type(events, Events)
        for event in events:
            assert_type(event, Event)
            assert_type(event.ack(), bool)
            assert_type(event.retry(after=0.5), bool)
            assert_type(event.drop(), bool)
            assert_type(event.dead_letter("no such customer"), bool)
            assert_type(event.emit(Emission("invoices", b"", operation="create")), bool)
    events.close(drain=1.0)


def emission() -> None:
    one = Emission("invoices", "text")
    assert_type(one.binding, str)
    assert_type(one.data, bytes | None)
    assert_type(one.operation, str)
    assert_type(one.metadata, dict[str, str])


def look_after(client: Client) -> None:
    client.ready(timeout=10)
    assert_type(client.add_component(COMPONENT), list[str])
    client.remove_component("orders")
    reload = client.reload()
    assert_type(reload, Reload)
    assert_type(reload.added + reload.changed + reload.removed, list[str])
    assert_type(reload.faults, list[BindwrightError])
    assert_type(client.faults(), list[BindwrightError])
    for component in client.components():
        assert_type(component, ComponentInfo)
        assert_type(component.name + component.type + component.version, str)
        assert_type(component.input or component.output, bool)
        assert_type(component.state, Literal["idle", "connecting", "ready", "degraded", "failed"])
        assert_type(component.error, BindwrightError | None)
        assert_type(component.redelivery, Ledger | None)
        if component.retries is not None:
            assert_type(component.retries.attempts, int | None)
            assert_type(component.retries.longest, float | None)
            assert_type(component.retries.pauses, float | None)


def answer(invocation: Invocation) -> object:
    assert_type(invocation.binding + invocation.operation, str)
    assert_type(invocation.data, bytes | None)
    assert_type(invocation.metadata, dict[str, str])
    assert_type(invocation.error, str | None)
    return Answer({"id": 1}, {"partitionKey": "1"}) if invocation.text() else invocation.data


def fake(sandbox: Sandbox) -> None:
    sandbox.reply("checkout", {"id": 1}, {"offset": "1"}, operation="create", times=2, delay=0.5)
    sandbox.reply("checkout", answer)
    sandbox.fail("checkout", "UNAVAILABLE")
    sandbox.fail("checkout", errors.QueueFullError, times=None, operation="create", message="full")
    pushed = sandbox.push("orders", {"id": 1}, {"__offset": "1"}, key="1")
    assert_type(pushed, PushedEvent)
    assert_type(pushed.progress, Progress)
    assert_type(pushed.wait(timedelta(seconds=1), deliveries=2).deliveries, int)
    assert_type(pushed.progress.ending, Literal["ack", "drop", "dead_letter", "emit", "held"] | None)
    assert_type(sandbox.wait_for("checkout", 2, operation="create", timeout=1.0), list[Invocation])
    assert_type(sandbox.invocations(), list[Invocation])
    sandbox.forget()
    sandbox.close()


async def fake_on_the_loop() -> None:
    with Sandbox(longest_pause=0.001) as sandbox:
        assert_type(await sandbox.wait_for_async("checkout"), list[Invocation])
        assert_type(await sandbox.push("orders", b"1").wait_async(), Progress)


async def await_all() -> None:
    async with aio.Client(
        ["one", Path("two")], app_id="shop", timeout=timedelta(seconds=5), wait="ready"
    ) as client:
        assert_type(client, aio.Client)
        assert_type(client.transport, str)
        reply = await client.invoke_binding(
            "orders", "create", {"orderId": 1}, {"partitionKey": "1"}, timeout=5.0
        )
        assert_type(reply, Reply)
        results = await client.invoke_many(
            "orders", "create", (str(number) for number in range(3)), timeout=5
        )
        assert_type(results, list[Reply | BindwrightError])
        both = await asyncio.gather(
            client.invoke_binding("orders", "create", b"1"), client.invoke_binding("orders", "create", b"2")
        )
        assert_type(both, tuple[Reply, Reply])

        async with client.events("orders") as events:
            assert_type(events, aio.Events)
            async for event in events:
                assert_type(event, Event)
                event.ack()

        await client.ready(timeout=timedelta(seconds=1))
        assert_type(await client.reload(), Reload)
        assert_type(client.add_component(COMPONENT), list[str])
        client.remove_component("orders")
        assert_type(await client.components(), list[ComponentInfo])
        assert_type(client.faults(), list[BindwrightError])


async def handle_on_the_loop() -> None:
    client = aio.Client(resources="./components", hot_reload=True)

    @client.binding("orders")
    async def on_order(event: Event) -> Outcome | None:
        await client.invoke_binding("invoices", "create", event.data)
        return None if event.attempt == 1 else Outcome.retry(after=1.0)

    @client.binding("payments")
    def on_payment(event: Event) -> None:
        log.info("%s", event.text())

    @client.binding("clicks", batch=100)
    async def on_clicks(events: list[Event]) -> Sequence[Outcome | None]:
        return [None] * len(events)

    one = await anext(aiter(client.events("orders")))
    assert_type(await on_order(one), Outcome | None)
    assert_type(on_payment(one), None)
    assert_type(await on_clicks([one]), Sequence[Outcome | None])
    await client.start()
    client.stop()
    await client.run(drain=timedelta(seconds=3))
    await client.close(drain=1.0)


def main() -> int:
    client = Client(resources="./components")
    handle(client)
    client.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
