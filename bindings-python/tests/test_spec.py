"""Runs the cases in `tests/spec`; `tests/spec/README.md` describes the format.

What a server needs stays with the test that has one: it says what a case's placeholders stand for.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import itertools
import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aio_blocking import AioBlocking
from bindwright import BindwrightError, Client, Emission, Event
from sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from real_kafka import Kafka
    from sidecars import Transport

    Opens = Callable[..., Client | AioBlocking]

pytest_plugins = ("real_kafka",)
pytestmark = pytest.mark.timeout(180)

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "spec"
PATIENCE_SECONDS = 30.0
LEFT_OUT = object()
TRANSPORTS: tuple[Transport, ...] = ("embedded", "sidecar-grpc", "sidecar-http")
CLIENTS: dict[str, Opens] = {"blocking": Client, "asyncio": AioBlocking}

_queues = itertools.count()
# What is run: file, case, transport.
_runs: set[tuple[str, str, Transport]] = set()


def cases_of(file: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))
    return cases


def differs(entry: dict[str, Any], transport: Transport) -> bool:
    """Whether a case or a step is left out over a transport."""
    reasons = entry.get("differs", {})
    return transport in reasons or (transport.startswith("sidecar-") and "sidecar" in reasons)


def every_case(file: str) -> pytest.MarkDecorator:
    """Every case over every transport, unless it says why not, and by both kinds of client."""
    runs = []
    for transport, case in itertools.product(TRANSPORTS, cases_of(file)):
        if differs(case, transport):
            continue
        _runs.add((file, case["case"], transport))
        for client, opens in CLIENTS.items():
            runs.append(pytest.param(case, transport, opens, id=f"{transport}-{client}-{case['case']}"))
    return pytest.mark.parametrize(("case", "transport", "opens"), runs)


@every_case("memory.yaml")
def test_memory(case: dict[str, Any], transport: Transport, opens: Opens, tmp_path: Path) -> None:
    run_case(case, transport, opens, tmp_path, {"{queue}": f"spec-{next(_queues)}"})


@every_case("dispatch.yaml")
def test_dispatch(case: dict[str, Any], transport: Transport, opens: Opens, tmp_path: Path) -> None:
    run_case(case, transport, opens, tmp_path, {"{queue}": f"spec-{next(_queues)}"})


@every_case("documents.yaml")
def test_documents(case: dict[str, Any], transport: Transport, opens: Opens, tmp_path: Path) -> None:
    run_case(case, transport, opens, tmp_path, {"{queue}": f"spec-{next(_queues)}"})


@every_case("policies.yaml")
def test_policies(case: dict[str, Any], transport: Transport, opens: Opens, tmp_path: Path) -> None:
    run_case(case, transport, opens, tmp_path, {"{queue}": f"spec-{next(_queues)}"})


@every_case("kafka.yaml")
def test_kafka(
    case: dict[str, Any], transport: Transport, opens: Opens, kafka: Kafka, tmp_path: Path
) -> None:
    placeholders = {
        "{brokers}": kafka.bootstrap,
        "{topic}": kafka.unique("topic"),
        "{group}": kafka.unique("group"),
    }
    kafka.create_topic(placeholders["{topic}"], case.get("partitions", 1))
    run_case(case, transport, opens, tmp_path, placeholders)


def test_no_case_is_left_out_without_a_reason() -> None:
    files = sorted(file.name for file in FOLDER.glob("*.yaml"))
    assert files == sorted({file for file, _, _ in _runs}), "a file that no test runs"
    known = {*TRANSPORTS, "sidecar"} - {"embedded"}
    for file in files:
        for case in cases_of(file):
            for entry in [case, *case["steps"]]:
                for name, reason in entry.get("differs", {}).items():
                    assert name in known, f"{file}, {case['case']}: {name} is no sidecar"
                    assert isinstance(reason, str), f"{file}, {case['case']}: {name} has no reason"
                    assert reason.strip(), f"{file}, {case['case']}: {name} has no reason"
            for transport in TRANSPORTS:
                is_run = (file, case["case"], transport) in _runs
                assert is_run != differs(case, transport), f"{file}, {case['case']}, {transport}"
            assert (file, case["case"], "embedded") in _runs


def run_case(
    case: dict[str, Any], transport: Transport, opens: Opens, folder: Path, placeholders: dict[str, str]
) -> None:
    with contextlib.ExitStack() as stack:
        run = Run(case, transport, opens, folder, placeholders, stack)
        stack.callback(run.close)
        for number, step in enumerate(run.steps, 1):
            run.step(step, f"step {number}")


class Puller:
    """Waits for the next event of a binding in a thread, because the iterator waits without a deadline."""

    def __init__(self, client: Client | AioBlocking, name: str) -> None:
        self._events = client.events(name)
        self._wanted = threading.Semaphore(0)
        self._found: queue.Queue[Event | None] = queue.Queue()
        self._asked = False
        self._thread = threading.Thread(target=self._pull)
        self._thread.start()

    def next(self, seconds: float) -> Event | None:
        """The next event, or `None` when none comes in time."""
        if not self._asked:
            self._wanted.release()
        try:
            event = self._found.get(timeout=seconds)
        except queue.Empty:
            # It may still come, for the next who asks.
            self._asked = True
            return None
        self._asked = False
        return event

    def close(self) -> None:
        self._events.close(0.0)
        self._wanted.release()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _pull(self) -> None:
        while True:
            self._wanted.acquire()
            event = next(self._events, None)
            self._found.put(event)
            if event is None:
                return


class Run:
    """One case: its folder, its client, its subscriptions. A new kind of step is an arm in `step`."""

    def __init__(
        self,
        case: dict[str, Any],
        transport: Transport,
        opens: Opens,
        folder: Path,
        placeholders: dict[str, str],
        stack: contextlib.ExitStack,
    ) -> None:
        self._transport = transport
        self._placeholders = placeholders
        self._pullers: dict[str, Puller] = {}
        self.steps = [step for step in case["steps"] if not differs(step, transport)]
        (folder / "components.yaml").write_text(self._fill(case["components"]), encoding="utf-8")
        for name, text in case.get("files", {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        if transport == "embedded":
            self._open: Callable[[], Client | AioBlocking] = functools.partial(opens, folder)
        else:
            sidecar = stack.enter_context(Sidecar(folder, transport))
            self._open = functools.partial(opens, **sidecar.options)
        self._client = self._open()
        assert self._client.transport == transport

    def close(self) -> None:
        for puller in self._pullers.values():
            puller.close()
        self._pullers.clear()
        self._client.close(5.0)

    def step(self, step: dict[str, Any], place: str) -> None:
        match step:
            case {"invoke": name}:
                self._invoke(name, step, place)
            case {"event": name}:
                self._event(name, step, place)
            case {"subscribe": name, "error": expected}:
                with pytest.raises(BindwrightError) as raised:
                    self._client.events(name)
                check_error(raised.value, expected, place)
            case {"quiet": name}:
                assert self._puller(name).next(1.0) is None, f"{place}: an event came"
            case {"faults": expected}:
                faults = self._client.faults()
                assert len(faults) == len(expected), f"{place}: {faults}"
                for one in expected:
                    found = [fault for fault in faults if one.get("text", "") in str(fault)]
                    assert found, f"{place}: {one} is not in {faults}"
                    check_error(found[0], one, place)
            case {"component": name}:
                self._component(name, step, place)
            case {"reopen": True}:
                self.close()
                self._client = self._open()
            case _:
                pytest.fail(f"{place}: not a step: {step}")

    def _invoke(self, name: str, step: dict[str, Any], place: str) -> None:
        arguments = self._request(step)
        if "timeout" in step:
            arguments["timeout"] = step["timeout"]
        if "error" in step:
            with pytest.raises(BindwrightError) as raised:
                self._client.invoke_binding(name, **arguments)
            check_error(raised.value, step["error"], place)
            return
        reply = self._client.invoke_binding(name, **arguments)
        self._check_metadata(reply.metadata, step.get("reply", {}), place)
        if "replyData" in step:
            assert reply.data == data_expected(step["replyData"]), place

    def _event(self, name: str, step: dict[str, Any], place: str) -> None:
        event = self._puller(name).next(PATIENCE_SECONDS)
        assert event is not None, f"{place}: no event came"
        if "data" in step:
            assert event.data == data_expected(step["data"]), place
        if "attempt" in step:
            assert event.attempt == step["attempt"], place
        self._check_metadata(event.metadata, step.get("metadata", {}), place)
        if "settle" in step:
            assert self._settle(event, step["settle"], place), place

    def _component(self, name: str, step: dict[str, Any], place: str) -> None:
        """Waits until the component's state is the expected one, and compares its error."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            [found] = [component for component in self._client.components() if component.name == name]
            if found.state == step["state"]:
                break
            assert time.monotonic() < deadline, f"{place}: {found}"
            time.sleep(0.01)
        if "error" in step:
            assert found.error is not None, place
            check_error(found.error, step["error"], place)

    def _settle(self, event: Event, outcome: Any, place: str) -> bool:
        match outcome:
            case "ack":
                return event.ack()
            case "retry":
                return event.retry()
            case {"retry": seconds}:
                return event.retry(seconds)
            case "drop":
                return event.drop()
            case "dead_letter":
                return event.dead_letter()
            case {"dead_letter": text}:
                return event.dead_letter(text)
            case {"emit": emissions}:
                return event.emit(*[self._emission(emission) for emission in emissions])
            case other:
                pytest.fail(f"{place}: no outcome {other!r}")

    def _emission(self, emission: dict[str, Any]) -> Emission:
        return Emission(emission["binding"], **self._request(emission))

    def _request(self, step: dict[str, Any]) -> dict[str, Any]:
        """The arguments that say what is sent; what the step leaves out is left out."""
        arguments: dict[str, Any] = {"operation": step.get("operation", "create")}
        if "metadata" in step:
            arguments["metadata"] = {key: self._fill(value) for key, value in step["metadata"].items()}
        data = data_to_send(step)
        if data is not LEFT_OUT:
            arguments["data"] = data
        return arguments

    def _puller(self, name: str) -> Puller:
        """The case's subscription to a binding, made when it is first asked for.

        A sidecar asks once what is wanted, so that there all of the case's are made then.
        """
        names = [name]
        if self._transport != "embedded":
            names += [step[kind] for step in self.steps for kind in ("event", "quiet") if kind in step]
        for one in names:
            if one not in self._pullers:
                self._pullers[one] = Puller(self._client, one)
        return self._pullers[name]

    def _check_metadata(self, found: Mapping[str, str], expected: dict[str, Any], place: str) -> None:
        if self._transport == "sidecar-http":
            # Which keeps no case of names.
            found = {name.lower(): value for name, value in found.items()}
            expected = {name.lower(): value for name, value in expected.items()}
        for name, value in expected.items():
            if value is None:
                assert name not in found, f"{place}: {name}"
            elif value is True:
                assert name in found, f"{place}: {name}"
            else:
                assert found.get(name) == self._fill(value), f"{place}: {name}"

    def _fill(self, text: str) -> str:
        for placeholder, value in self._placeholders.items():
            text = text.replace(placeholder, value)
        return text


def data_to_send(step: dict[str, Any]) -> object:
    match step.get("data", LEFT_OUT):
        case {"text": text} | {"json": text}:
            return text
        case {"base64": text}:
            return base64.b64decode(text)
        case {"repeat": {"text": text, "times": times}}:
            return text * times
        case "none":
            return None
        case _:
            return LEFT_OUT


def data_expected(data: Any) -> bytes | None:
    match data:
        case {"text": text}:
            return str(text).encode()
        case {"base64": text}:
            return base64.b64decode(text)
        case _:
            assert data == "none", f"not data to expect: {data}"
            return None


def check_error(error: BindwrightError, expected: dict[str, Any], place: str) -> None:
    for name, value in expected.items():
        if name == "text":
            assert value in str(error), place
        else:
            assert getattr(error, name) == value, f"{place}: {name} of {error}"
