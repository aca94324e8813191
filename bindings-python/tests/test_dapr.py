"""The migration module: what the SDK's client and app do, and whether names and arguments are the SDK's."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

import bindwright
from bindwright import Outcome
from bindwright.dapr import App, BindingRequest, BindingResponse, DaprClient, aio
from bindwright.errors import (
    BindingTimeoutError,
    ComponentNotFoundError,
    InvalidOptionsError,
    UnavailableError,
)
from conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conftest import Folder

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def resources(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The components come from the environment: the SDK's classes have no argument for them."""
    monkeypatch.setenv("BINDWRIGHT_RESOURCES", str(folder.path))
    monkeypatch.delenv("DAPR_API_TIMEOUT_SECONDS", raising=False)
    folder.memory()


@contextlib.contextmanager
def running(app: App) -> Iterator[None]:
    """`app.run()` in another thread."""
    thread = threading.Thread(target=app.run)
    thread.start()
    try:
        yield
    finally:
        app.stop()
        thread.join(30)
    assert not thread.is_alive()


# ---- the client


@pytest.mark.parametrize(
    ("data", "sent"),
    [(b"\x00\xff", b"\x00\xff"), ("täglich", "täglich".encode()), ("", None), (b"", None)],
    ids=["bytes", "text", "no text", "no bytes"],
)
def test_bytes_go_verbatim_text_as_utf8_and_nothing_is_no_data(data: bytes | str, sent: bytes | None) -> None:
    with DaprClient() as client:
        client.invoke_binding("orders", "create", data)
    with bindwright.Client() as peer, peer.events("orders") as events:
        assert next(events).data == sent


def test_data_may_be_left_out() -> None:
    with DaprClient() as client:
        assert client.invoke_binding("orders", "size").json() == 0


@pytest.mark.parametrize("data", [None, {"orderId": 1}, bytearray(b"a"), 7])
def test_other_data_is_a_type_error(data: object) -> None:
    with DaprClient() as client:
        with pytest.raises(TypeError, match=f"expected bytes or str, got {type(data).__name__}"):
            client.invoke_binding("orders", "create", cast("bytes", data))
        assert client.invoke_binding("orders", "size").data == b"0", "nothing was sent"


def test_arguments_may_have_their_names_of_the_sdk() -> None:
    with DaprClient() as client:
        response = client.invoke_binding(
            binding_name="orders", operation="create", data="a", binding_metadata={"partitionKey": "k"}
        )
    assert isinstance(response, BindingResponse)
    assert response.data == b""
    assert response.text() == ""
    assert response.binding_metadata["partition"] == "0"
    assert response.headers == {}
    with bindwright.Client() as peer, peer.events("orders") as events:
        assert next(events).metadata["key"] == "k"


def test_a_response_can_be_made_for_a_test() -> None:
    response = BindingResponse('{"a": 1}', {"b": "c"}, (("d", "e"), ("d", b"f")))
    assert (response.data, response.json(), response.binding_metadata) == (b'{"a": 1}', {"a": 1}, {"b": "c"})
    assert response.headers == response.get_headers(as_dict=True) == {"d": ["e", b"f"]}
    assert response.get_headers() == (("d", "e"), ("d", b"f"))
    response.data, response.headers = cast("bytes", "g"), cast("Any", ())
    assert (response.data, response.headers) == (b"g", {})


def test_of_deprecated_metadata_the_trace_context_counts() -> None:
    pairs = (("TraceParent", TRACEPARENT), ("tracestate", b"a=b"), ("dapr-api-token", "secret"))
    with DaprClient() as client, pytest.warns(DeprecationWarning, match="traceparent") as warned:
        client.invoke_binding("orders", "create", "a", {"mine": "1"}, pairs)
    assert warned[0].filename == __file__
    with bindwright.Client() as peer, peer.events("orders") as events:
        event = next(events)
        assert (event.traceparent, event.tracestate) == (TRACEPARENT, "a=b")
        assert event.metadata["mine"] == "1"
        assert "secret" not in str(event.metadata)


def test_there_is_nothing_to_wait_for() -> None:
    with DaprClient() as client, pytest.warns(DeprecationWarning, match="no sidecar") as warned:
        client.wait(5)
    assert warned[0].filename == __file__


def test_errors_are_bindwrights(folder: Folder) -> None:
    folder.memory("down", failures="UNAVAILABLE")
    with DaprClient() as client:
        with pytest.raises(ComponentNotFoundError):
            client.invoke_binding("nowhere", "create", "a")
        with pytest.raises(UnavailableError) as caught:
            client.invoke_binding("down", "create", "a")
    assert caught.value.code == "UNAVAILABLE"


def test_the_environment_bounds_calls(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.memory("slow", delay="20s")
    monkeypatch.setenv("DAPR_API_TIMEOUT_SECONDS", "0.05")
    with DaprClient() as client, pytest.raises(BindingTimeoutError):
        client.invoke_binding("slow", "create", "a")
    monkeypatch.setenv("DAPR_API_TIMEOUT_SECONDS", "soon")
    with pytest.raises(InvalidOptionsError, match="DAPR_API_TIMEOUT_SECONDS: expected seconds, got 'soon'"):
        DaprClient()


def test_arguments_for_the_way_to_a_sidecar_do_no_harm() -> None:
    with DaprClient("localhost:50001", dict, [], 5, 64 << 20) as client:
        client.invoke_binding("orders", "create", "a")


def test_arguments_that_would_be_missed_are_refused() -> None:
    with pytest.raises(InvalidOptionsError, match="no gRPC here"):
        DaprClient(interceptors=[object()])
    with pytest.raises(InvalidOptionsError, match="Resiliency document"):
        DaprClient(retry_policy=object())


def test_other_methods_of_the_sdk_say_what_is_here() -> None:
    with DaprClient() as client:
        assert not hasattr(client, "save_state")
        with pytest.raises(
            AttributeError, match=r"'publish_event': .* bindings only .invoke_binding, wait, close"
        ):
            cast("Any", client).publish_event("pubsub", "topic", "a")
    with pytest.raises(AttributeError, match=r"'subscribe': .* bindings only .binding, run, stop"):
        cast("Any", App()).subscribe("pubsub", "topic")


def test_closing_twice_is_fine() -> None:
    client = DaprClient()
    client.close()
    client.close()
    with pytest.raises(bindwright.errors.ClosedError):
        client.invoke_binding("orders", "create", "a")


# ---- the client for asyncio


def test_the_asyncio_client_does_the_same(folder: Folder) -> None:
    folder.memory("down", failures="UNAVAILABLE")

    async def program() -> None:
        async with aio.DaprClient("localhost:50001", dict, [], 5, 64 << 20) as client:
            pairs = (("traceparent", TRACEPARENT), ("dapr-api-token", "secret"))
            with pytest.warns(DeprecationWarning, match="traceparent") as warned:
                response = await client.invoke_binding("orders", "create", "ä", {"partitionKey": "k"}, pairs)
            assert warned[0].filename == __file__
            assert isinstance(response, BindingResponse)
            assert (response.data, response.binding_metadata["partition"]) == (b"", "0")
            await client.invoke_binding(binding_name="orders", operation="create")
            assert (await client.invoke_binding("orders", "size")).json() == 2
            with pytest.raises(TypeError, match="expected bytes or str"):
                await client.invoke_binding("orders", "create", cast("bytes", None))
            with pytest.raises(UnavailableError):
                await client.invoke_binding("down", "create", "a")
            with pytest.warns(DeprecationWarning, match="no sidecar"):
                await client.wait(5)
            with pytest.raises(AttributeError, match=r"'save_state': .* bindings only"):
                cast("Any", client).save_state("store", "key", "value")
        await client.close()
        with pytest.raises(bindwright.errors.ClosedError):
            await client.invoke_binding("orders", "create", "a")

    asyncio.run(program())
    with bindwright.Client() as peer, peer.events("orders") as events:
        first, second = next(events), next(events)
    assert (first.text(), first.metadata["key"], first.traceparent) == ("ä", "k", TRACEPARENT)
    assert second.data is None


def test_the_environment_bounds_calls_of_the_asyncio_client(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.memory("slow", delay="20s")
    monkeypatch.setenv("DAPR_API_TIMEOUT_SECONDS", "0.05")

    async def program() -> None:
        async with aio.DaprClient() as client:
            await client.invoke_binding("slow", "create", "a")

    with pytest.raises(BindingTimeoutError):
        asyncio.run(program())


def test_the_asyncio_client_refuses_interceptors() -> None:
    with pytest.raises(InvalidOptionsError, match="no gRPC here"):
        aio.DaprClient(interceptors=[object()])


# ---- the app


def test_a_handler_gets_requests_and_what_it_returns_does_not_count() -> None:
    app = App()
    seen: list[BindingRequest] = []

    @app.binding("orders")
    def on_order(request: BindingRequest) -> str:
        seen.append(request)
        return "not an outcome"

    with DaprClient() as client, running(app):
        client.invoke_binding("orders", "create", "ä", {"mine": "1", "traceparent": TRACEPARENT})
        client.invoke_binding("orders", "create")
        wait_until(lambda: len(seen) == 2)
        wait_until(lambda: client.invoke_binding("orders", "size").json() == 0)
    first, second = seen
    assert (first.data, first.text(), second.data) == ("ä".encode(), "ä", b"")
    assert first.binding_metadata["mine"] == "1"
    # The span of the receiving side is another one in the same trace.
    (traceparent,) = first.metadata["traceparent"]
    assert cast("str", traceparent).split("-")[1] == TRACEPARENT.split("-")[1]
    assert first.get_metadata() == (("traceparent", traceparent),)
    assert callable(on_order), "a decorated function stays what it is"


def test_raising_has_the_event_delivered_again() -> None:
    app = App()
    seen: list[str] = []

    @app.binding("orders")
    def on_order(request: BindingRequest) -> None:
        seen.append(request.text())
        if seen == ["a"]:
            raise ValueError("not yet")

    with DaprClient() as client, running(app):
        for text in "ab":
            client.invoke_binding("orders", "create", text)
        wait_until(lambda: len(seen) == 3)
    assert seen == ["a", "a", "b"]


def test_a_handler_may_return_an_outcome() -> None:
    app = App()
    seen: list[str] = []

    @app.binding("orders")
    def on_order(request: BindingRequest) -> Outcome | None:
        seen.append(request.text())
        return Outcome.RETRY if len(seen) == 1 else None

    with DaprClient() as client, running(app):
        client.invoke_binding("orders", "create", "a")
        wait_until(lambda: len(seen) == 2)


def test_a_handler_may_stop_the_app() -> None:
    app = App()
    app.binding("orders")(lambda _: app.stop())
    with DaprClient() as client:
        client.invoke_binding("orders", "create", "a")
        app.run()
        assert client.invoke_binding("orders", "size").json() == 0, "what was begun is settled"


def test_ports_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    app = App(max_grpc_message_length=1024, options=[], compression=None)
    app.binding("orders")(lambda _: None)
    app.stop()
    with caplog.at_level(logging.DEBUG, "bindwright.dapr"):
        app.run(app_port=50051, listen_address="localhost")
    assert [record.getMessage() for record in caplog.records if record.name == "bindwright.dapr"] == [
        "app_port and listen_address are not used: events come inside the process"
    ]


def test_what_an_app_cannot_do_is_refused() -> None:
    app = App()
    app.binding("orders")(lambda _: None)
    with pytest.raises(ValueError, match="orders: the binding has a handler already"):
        app.binding("orders")(lambda _: None)

    async def on_order(request: BindingRequest) -> None: ...

    with pytest.raises(InvalidOptionsError, match="async"):
        app.binding("others")(on_order)
    with pytest.raises(InvalidOptionsError, match="thread_pool: there is no gRPC server here"):
        App(thread_pool=object())
    with pytest.raises(InvalidOptionsError, match="no handler is registered"):
        App().run()


def test_a_request_can_be_made_for_a_test() -> None:
    request = BindingRequest("ä", {"key": "k"})
    assert (request.data, request.binding_metadata, request.metadata) == ("ä".encode(), {"key": "k"}, {})
    request.metadata = cast("Any", (("a", "b"),))
    assert request.metadata == request.get_metadata(as_dict=True) == {"a": ["b"]}
    with pytest.raises(ValueError, match="tuple"):
        request.metadata = cast("Any", {"a": "b"})
    with pytest.raises(TypeError, match="expected bytes or str"):
        BindingRequest(cast("bytes", None))


# ---- the SDK itself


def official(module: str, name: str) -> Any:
    """A class of the SDK. Skip on a laptop, fail where the variable CI is set."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the SDK is missing: {error}")
        pytest.skip(f"the SDK is missing: {error}")


def ours(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    """Names in their order, with kinds and defaults; an empty mapping is one of any kind."""

    def default(value: object) -> object:
        return dict(cast("Mapping[str, str]", value)) if hasattr(value, "keys") else value

    return [
        (one.name, one.kind, default(one.default)) for one in inspect.signature(function).parameters.values()
    ]


CLASSES = {
    "DaprClient": (("bindwright.dapr", "DaprClient"), ("dapr.clients", "DaprClient")),
    "aio.DaprClient": (("bindwright.dapr.aio", "DaprClient"), ("dapr.aio.clients", "DaprClient")),
    "App": (("bindwright.dapr", "App"), ("dapr.ext.grpc", "App")),
    "BindingRequest": (("bindwright.dapr", "BindingRequest"), ("dapr.ext.grpc", "BindingRequest")),
    "BindingResponse": (
        ("bindwright.dapr", "BindingResponse"),
        ("dapr.clients.grpc._response", "BindingResponse"),
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_has_the_arguments_of_the_sdk(name: str) -> None:
    our_place, sdk_place = CLASSES[name]
    sdk, own = official(*sdk_place), ours(*our_place)
    methods = [
        member for member, value in vars(own).items() if inspect.isfunction(value) and member != "__getattr__"
    ]
    assert methods
    for method in methods:
        function, expected = getattr(own, method), getattr(sdk, method)
        assert parameters(function) == parameters(expected), method
        assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(expected), method


@pytest.mark.parametrize("name", ["BindingRequest", "BindingResponse"])
def test_messages_have_all_that_the_sdk_gives(name: str) -> None:
    our_place, sdk_place = CLASSES[name]
    sdk, own = official(*sdk_place), ours(*our_place)
    expected = {member for member in dir(sdk) if not member.startswith("_")}
    assert {member for member in dir(own) if not member.startswith("_")} == expected
    for member in expected:
        theirs = inspect.getattr_static(sdk, member)
        mine = inspect.getattr_static(own, member)
        assert isinstance(mine, property) == isinstance(theirs, property), member
        if isinstance(theirs, property):
            assert isinstance(mine, property)
            assert (mine.fset is None) == (theirs.fset is None), member


@pytest.mark.parametrize(
    "arguments", [("ä",), (b"\xff", {"a": "b"}), (None,), (7,), ({},), (bytearray(b"a"),)]
)
def test_the_rules_for_bytes_are_the_sdks(arguments: tuple[Any, ...]) -> None:
    for name in ("BindingRequest", "BindingResponse"):
        our_place, sdk_place = CLASSES[name]
        results: list[object] = []
        for kind in (official(*sdk_place), ours(*our_place)):
            try:
                message = kind(*arguments)
                results.append((message.data, message.binding_metadata))
            except TypeError:
                results.append(TypeError)
        assert results[0] == results[1], name
