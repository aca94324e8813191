"""The test kit: what is recorded, answered and pushed; with both ways of waiting, and the fixture."""

from __future__ import annotations

import asyncio
import doctest
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import bindwright.testing
from bindwright import Client, Emission, Event, Outcome
from bindwright.errors import (
    BindingTimeoutError,
    ClosedError,
    ComponentNotFoundError,
    InternalError,
    InvalidOptionsError,
    InvalidRequestError,
    OutcomeUnknownError,
    UnavailableError,
    UnsupportedOperationError,
)
from bindwright.testing import Answer, Cause, Invocation, Progress, Sandbox
from conftest import Program, running

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = """\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders}
spec:
  type: bindings.kafka
  version: v1
  metadata:
  - {name: brokers, value: "nowhere.invalid:9092"}
  - {name: topics, value: orders}
  - {name: publishTopic, value: orders}
  - {name: consumerGroup, value: shop}
  - {name: saslPassword, secretKeyRef: {name: vault, key: password}}
  - {name: maxDeliveryCount, value: "3"}
  - {name: deadLetterBinding, value: dead}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: dead}
spec: {type: bindings.carrier.pigeon, version: v1}
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
spec:
  policies: {retries: {rare: {duration: 3h, maxRetries: 2}}}
  targets: {components: {dead: {outbound: {retry: rare}}}}
"""


@pytest.fixture
def components(tmp_path: Path) -> Path:
    (tmp_path / "components.yaml").write_text(DOCUMENTS)
    return tmp_path


@pytest.fixture
def sandbox(bindwright_sandbox: Sandbox) -> Sandbox:
    return bindwright_sandbox


@pytest.fixture
def client(sandbox: Sandbox, components: Path) -> Iterator[Client]:
    with Client(components) as client:
        yield client


def test_what_is_sent_is_recorded(sandbox: Sandbox, client: Client) -> None:
    reply = client.invoke_binding("orders", "create", {"orderId": 1}, {"partitionKey": "1"})
    assert (reply.data, reply.metadata) == (None, {})
    client.invoke_many("dead", "release", [b"\x00", None])
    first, second, third = sandbox.invocations()
    assert first == Invocation("orders", "create", b'{"orderId":1}', {"partitionKey": "1"}, None)
    assert (first.text(), first.json()) == ('{"orderId":1}', {"orderId": 1})
    assert (second.operation, second.data, third.data) == ("release", b"\x00", None)
    assert (third.text(), third.json()) == ("", None)
    assert sandbox.invocations("dead") == [second, third]
    sandbox.forget()
    assert sandbox.invocations() == []


def test_names_and_operations_are_those_of_the_documents(sandbox: Sandbox, client: Client) -> None:
    with pytest.raises(UnsupportedOperationError, match="known operations: create"):
        client.invoke_binding("orders", "get")
    with pytest.raises(ComponentNotFoundError, match="components: dead, orders"):
        client.invoke_binding("order", "create")
    assert sandbox.invocations() == []


def test_replies(sandbox: Sandbox, client: Client) -> None:
    sandbox.reply("orders", {"ok": True}, {"offset": "7"})
    sandbox.reply("orders", b"first", times=1)
    reply = client.invoke_binding("orders", "create")
    assert (reply.data, reply.metadata) == (b"first", {})
    reply = client.invoke_binding("orders", "create")
    assert (reply.json(), reply.metadata) == ({"ok": True}, {"offset": "7"})
    sandbox.reply("dead", "only get", operation="get")
    assert [client.invoke_binding("dead", name).text() for name in ("get", "put")] == ["only get", ""]


def test_a_function_replies(sandbox: Sandbox, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def answer(invocation: Invocation) -> object:
        if invocation.text() == "bad":
            raise InvalidRequestError("refused", message="the function refused")
        if invocation.text() == "wrong":
            raise KeyError("wrong")
        return Answer(invocation.data, {"seen": invocation.operation})

    sandbox.reply("orders", answer)
    reply = client.invoke_binding("orders", "create", "a")
    assert (reply.text(), reply.metadata) == ("a", {"seen": "create"})
    with pytest.raises(InvalidRequestError, match="the function refused"):
        client.invoke_binding("orders", "create", "bad")
    with pytest.raises(InternalError, match="KeyError: 'wrong'"):
        client.invoke_binding("orders", "create", "wrong")
    assert [one.error for one in sandbox.invocations()] == [None, "INVALID_REQUEST", "INTERNAL"]
    assert caplog.messages == ["the function that replies for binding 'orders' failed"]


def test_failures(sandbox: Sandbox, client: Client) -> None:
    sandbox.fail("orders", "UNAVAILABLE", message="on holiday")
    with pytest.raises(UnavailableError, match="on holiday") as caught:
        client.invoke_binding("orders", "create")
    assert caught.value.retriable
    assert caught.value.component == "orders"
    client.invoke_binding("orders", "create")
    sandbox.fail("orders", OutcomeUnknownError, times=None)
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError):
            client.invoke_binding("orders", "create")


def test_policies_retry_without_their_pauses(sandbox: Sandbox, client: Client) -> None:
    sandbox.fail("dead", UnavailableError, times=2)
    client.invoke_binding("dead", "release")
    assert [one.error for one in sandbox.invocations()] == ["UNAVAILABLE", "UNAVAILABLE", None]


def test_a_late_reply_ends_at_the_deadline(sandbox: Sandbox, client: Client) -> None:
    sandbox.reply("orders", delay=3600)
    with pytest.raises(BindingTimeoutError):
        client.invoke_binding("orders", "create", timeout=0.02)


def test_handlers_get_what_is_pushed(sandbox: Sandbox, client: Client) -> None:
    @client.binding("orders")
    def on_order(event: Event) -> Outcome | None:
        match cast("dict[str, str]", event.json())["do"]:
            case "ack":
                return None
            case "drop":
                return Outcome.DROP
            case "emit":
                return Outcome.emit(Emission("dead", event.data, "release"))
            case "again" if event.attempt == 1:
                raise ValueError("once")
            case "fail":
                raise ValueError("never works")
        return None

    pushed = {do: sandbox.push("orders", {"do": do}) for do in ("ack", "drop", "emit", "again", "fail")}
    with running(client):
        ends = {do: event.wait() for do, event in pushed.items()}
    once, always = Cause("ValueError", "once"), Cause("ValueError", "never works")
    assert ends == {
        "ack": Progress(1, "ack", None),
        "drop": Progress(1, "drop", None),
        "emit": Progress(1, "emit", None),
        "again": Progress(2, "ack", once),
        "fail": Progress(3, "dead_letter", always),
    }
    emitted, dead = sandbox.invocations("dead")
    assert (emitted.operation, emitted.json()) == ("release", {"do": "emit"})
    assert dead.metadata["deadLetterCause"] == "never works"


def test_a_pushed_event_arrives_as_given(sandbox: Sandbox, client: Client) -> None:
    pushed = sandbox.push("orders", None, {"__offset": "7"}, key="k")
    assert pushed.progress == Progress(0, None, None)
    with client.events("orders") as events:
        event = next(events)
        assert (event.data, event.metadata, event.attempt) == (None, {"__offset": "7"}, 1)
        event.retry()
        assert pushed.wait(deliveries=1).ending is None
        next(events).ack()
    assert pushed.wait() == pushed.progress
    assert "ending='ack'" in repr(pushed)


def test_waiting_in_vain_says_what_there_is(sandbox: Sandbox, client: Client) -> None:
    client.invoke_binding("orders", "create")
    with pytest.raises(BindingTimeoutError, match=r"1 of 2 .* all that came: orders\.create 1"):
        sandbox.wait_for("orders", 2, timeout=0.02)
    with pytest.raises(BindingTimeoutError, match="nothing subscribed to the binding"):
        sandbox.push("orders").wait(0.02)


def test_waiting_for_another_thread(sandbox: Sandbox, client: Client) -> None:
    thread = threading.Timer(0.05, lambda: client.invoke_binding("orders", "create", "a"))
    thread.start()
    assert [one.text() for one in sandbox.wait_for("orders")] == ["a"]
    thread.join()


def test_coroutines_await(sandbox: Sandbox, client: Client) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pushed = sandbox.push("orders", "a")
        loop.call_later(0.02, client.invoke_binding, "orders", "create", "b")
        assert [one.text() for one in await sandbox.wait_for_async("orders")] == ["b"]
        with client.events("orders") as events:
            loop.call_later(0.02, lambda: next(events).ack())
            assert (await pushed.wait_async()).ending == "ack"
        with pytest.raises(BindingTimeoutError):
            await sandbox.wait_for_async("orders", 2, timeout=0.02)
        with pytest.raises(InvalidOptionsError, match="wait_for_async"):
            sandbox.wait_for("orders", 2)
        assert len(sandbox.wait_for("orders", 1)) == 1, "what is there needs no waiting"

    asyncio.run(main())


def test_arguments_that_cannot_be_used(sandbox: Sandbox) -> None:
    async def answer(invocation: Invocation) -> bytes:
        return b""

    for wrong in (
        lambda: sandbox.fail("orders", "UNAVAILBLE"),
        lambda: sandbox.fail("orders", "UNAVAILABLE", times=0),
        lambda: sandbox.reply("orders", answer),
        lambda: sandbox.reply("orders", lambda _: b"", {"a": "b"}),
        lambda: sandbox.reply("orders", object()),
        lambda: sandbox.reply("orders", delay=-1),
        lambda: sandbox.push("orders", {1, 2}),
        lambda: Sandbox(longest_pause=-1),
    ):
        with pytest.raises(InvalidOptionsError):
            wrong()


def test_one_at_a_time_and_what_is_left_of_it(components: Path) -> None:
    with Sandbox() as sandbox:
        with pytest.raises(InvalidOptionsError, match="a sandbox in this process already"):
            Sandbox()
        client = Client(components)
        client.invoke_binding("orders", "create", "a")
        pushed = sandbox.push("orders", "b")
    with pytest.raises(ClosedError):
        client.invoke_binding("orders", "create")
    with pytest.raises(ClosedError):
        pushed.wait()
    assert len(sandbox.invocations()) == 1
    client.close()
    with Sandbox() as another, Client(components) as client:
        client.invoke_binding("orders", "create", "c")
        assert [one.text() for one in another.invocations()] == ["c"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_a_sandbox_of_its_own(components: Path, program: Program) -> None:
    source = """
import os, sys
from bindwright import Client
from bindwright.testing import Sandbox
with Sandbox() as sandbox, Client(sys.argv[1]) as client:
    client.invoke_binding("orders", "create", "parent")
    child = os.fork()
    if child == 0:
        with Client(sys.argv[1]) as client:
            client.invoke_binding("orders", "create", "child")
            print([one.text() for one in sandbox.invocations()], flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print([one.text() for one in sandbox.invocations()], flush=True)
"""
    process = program(source, str(components))
    output, errors = process.communicate(timeout=30)
    assert (output.splitlines(), errors) == (["['child']", "['parent']"], "")


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(bindwright.testing).failed == 0
    assert doctest.testmod(bindwright.testing).attempted > 0


def test_the_examples_of_the_document_run(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    (tmp_path / "components").mkdir()
    blocks = {
        kind: re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for kind in ("yaml", "python")
    }
    (document,) = blocks["yaml"]
    shop, *tests = blocks["python"]
    assert len(tests) == 3
    (tmp_path / "components" / "components.yaml").write_text(document)
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "test_shop.py").write_text("".join(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_shop.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_nobody_without_pytest_pays_for_it(program: Program) -> None:
    process = program(
        "import sys, bindwright.testing\n"
        "print([name for name in ('pytest', '_pytest') if name in sys.modules])"
    )
    output, errors = process.communicate(timeout=30)
    assert (output.strip(), errors) == ("[]", "")
