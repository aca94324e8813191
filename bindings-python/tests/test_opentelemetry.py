"""Spans of calls and handlers with OpenTelemetry, with its API alone, and without it."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, Event, Outcome, _native, _tracing
from bindwright.aio import Client as AioClient
from bindwright.errors import BindwrightError, UnavailableError
from conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanContext, Tracer

    from conftest import Folder, Program

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.fixture(scope="module")
def provider() -> Iterator[InMemorySpanExporter]:
    """The program's provider; other modules are tested as in a program that does not use OpenTelemetry."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    del sys.modules["opentelemetry.trace"]


class Spans:
    """The spans that have ended."""

    def __init__(self, exporter: InMemorySpanExporter, tracer: Tracer) -> None:
        self._exporter = exporter
        self.tracer = tracer

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        wait_until(lambda: self.named(name))
        [span] = self.named(name)
        return span


@pytest.fixture
def spans(provider: InMemorySpanExporter) -> Spans:
    from opentelemetry import trace

    provider.clear()
    return Spans(provider, trace.get_tracer("tests"))


@pytest.fixture
def memory(folder: Folder) -> Iterator[Client]:
    folder.memory("orders")
    folder.memory("audit")
    with Client(folder.path) as client:
        yield client


def context(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.get_span_context()
    assert context is not None
    return context


def traceparent(span: ReadableSpan) -> str:
    flags = context(span).trace_flags
    assert flags.sampled
    return f"00-{context(span).trace_id:032x}-{context(span).span_id:016x}-{flags:02x}"


def pull(client: Client, name: str = "orders", count: int = 1) -> list[Event]:
    with client.events(name) as events:
        pulled = [next(events) for _ in range(count)]
        for event in pulled:
            event.ack()
    return pulled


def test_a_call_is_a_span_below_the_callers_and_its_context_travels(memory: Client, spans: Spans) -> None:
    from opentelemetry import trace

    with spans.tracer.start_as_current_span("caller") as caller:
        memory.invoke_binding("orders", "create", b"a", {"mine": "1"})
        assert trace.get_current_span() is caller
    span = spans.one("orders create")
    assert span.kind is trace.SpanKind.PRODUCER
    assert span.parent == caller.get_span_context()
    assert span.attributes == {"bindwright.binding": "orders", "bindwright.operation": "create"}
    assert span.status.is_unset
    [event] = pull(memory)
    assert event.metadata["traceparent"] == traceparent(span)
    assert event.metadata["mine"] == "1"
    assert "tracestate" not in event.metadata


def test_the_tracestate_travels_too(memory: Client, spans: Spans) -> None:
    from opentelemetry.propagate import extract

    remote = extract({"traceparent": PARENT, "tracestate": "vendor=1,other=2"})
    with spans.tracer.start_as_current_span("caller", context=remote):
        memory.invoke_many("orders", "create", ["a"])
    [event] = pull(memory)
    assert event.tracestate == "vendor=1,other=2"
    assert event.traceparent == traceparent(spans.one("orders create"))


def test_other_operations_are_calls_of_a_client(memory: Client, spans: Spans) -> None:
    from opentelemetry import trace

    memory.invoke_binding("orders", "size")
    assert spans.one("orders size").kind is trace.SpanKind.CLIENT


def test_a_failed_call_tells_its_code(folder: Folder, spans: Spans) -> None:
    folder.memory("orders", failures="UNAVAILABLE")
    with Client(folder.path) as client, pytest.raises(UnavailableError) as raised:
        client.invoke_binding("orders", "create")
    span = spans.one("orders create")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert (span.status.is_ok, span.status.description) == (False, str(raised.value))


def test_many_payloads_are_one_span_which_tells_how_many_failed(folder: Folder, spans: Spans) -> None:
    folder.memory("orders", failures="ok, UNAVAILABLE, ok")
    with Client(folder.path) as client:
        results = client.invoke_many("orders", "create", ["a", "b", "c"])
        assert [isinstance(result, BindwrightError) for result in results] == [False, True, False]
        span = spans.one("orders create")
        assert [event.traceparent for event in pull(client, count=2)] == [traceparent(span)] * 2
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 3
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert span.status.description == f"1 of 3 failed, the first one: {results[1]}"


def test_the_callers_own_traceparent_travels_and_is_linked(memory: Client, spans: Spans) -> None:
    from opentelemetry import trace

    memory.invoke_many(
        "orders", "create", ["a", "b", "c"], [{"traceparent": PARENT}, {"traceparent": "x"}, None]
    )
    span = spans.one("orders create")
    assert span.kind is trace.SpanKind.CLIENT
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [PARENT.split("-")[1]]
    received = [event.metadata["traceparent"] for event in pull(memory, count=3)]
    assert received == [PARENT, "x", traceparent(span)]


def test_a_handler_runs_in_a_span_below_its_events(memory: Client, spans: Spans) -> None:
    from opentelemetry import trace

    current = []

    @memory.binding("orders")
    def on_order(event: Event) -> None:
        current.append(trace.get_current_span().get_span_context())
        memory.invoke_binding("audit", "create", b"")

    memory.invoke_binding("orders", "create", b"", {"traceparent": PARENT, "tracestate": "vendor=1"})
    memory.start()
    span = spans.one("orders process")
    assert span.kind is trace.SpanKind.CONSUMER
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == tuple(PARENT.split("-")[1:3])
    assert span.parent.is_remote
    assert span.parent.trace_state.to_header() == "vendor=1"
    assert span.attributes == {"bindwright.binding": "orders", "bindwright.attempt": 1}
    assert current == [context(span)]
    call = spans.one("audit create")
    assert call.parent == context(span)
    [audit] = pull(memory, "audit")
    assert (audit.traceparent, audit.tracestate) == (traceparent(call), "vendor=1")


def test_an_exception_of_a_handler_is_recorded(memory: Client, spans: Spans) -> None:
    @memory.binding("orders")
    def on_order(event: Event) -> None:
        if event.attempt == 1:
            raise ValueError("broken")

    memory.invoke_binding("orders", "create")
    memory.start()
    wait_until(lambda: len(spans.named("orders process")) == 2)
    failed, good = spans.named("orders process")
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ValueError"
    assert (failed.status.is_ok, failed.status.description) == (False, "ValueError: broken")
    [recorded] = failed.events
    assert recorded.attributes is not None
    assert "ValueError: broken" in str(recorded.attributes["exception.stacktrace"])
    assert (good.status.is_unset, good.events) == (True, ())
    assert context(good).trace_id == context(failed).trace_id, "both below the sender"


def test_an_event_without_a_trace_begins_one(memory: Client, spans: Spans) -> None:
    memory.binding("orders")(lambda event: Outcome.DROP)
    memory.invoke_binding("orders", "create", b"", {"traceparent": "none"})
    with spans.tracer.start_as_current_span("the program's start"):
        memory.start()
    assert spans.one("orders process").parent is None


def test_a_batch_is_a_span_with_links(memory: Client, spans: Spans) -> None:
    from opentelemetry import trace

    current = []

    @memory.binding("orders", batch=10)
    def on_orders(events: list[Event]) -> None:
        current.append(trace.get_current_span().get_span_context())

    own = [{"traceparent": PARENT}, {"traceparent": "none"}, {"traceparent": OTHER}]
    memory.invoke_many("orders", "create", ["a", "b", "c"], own)
    with spans.tracer.start_as_current_span("the program's start"):
        memory.start()
    span = spans.one("orders process")
    assert current == [context(span)]
    assert (span.kind, span.parent) == (trace.SpanKind.CONSUMER, None)
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [
        PARENT.split("-")[1],
        OTHER.split("-")[1],
    ]
    assert span.attributes == {"bindwright.binding": "orders", "messaging.batch.message_count": 3}


def test_tasks_of_one_thread_do_not_mix_their_traces(memory: Client, spans: Spans) -> None:
    async def call(name: str) -> None:
        with spans.tracer.start_as_current_span(name), _tracing.invocation("orders", name):
            await asyncio.sleep(0)
            # Within the call, as the asyncio client awaits it.
            memory._native.invoke("orders", "create", name, None, None)
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(call("first"), call("second"))

    asyncio.run(both())
    received = {event.text(): event.traceparent for event in pull(memory, count=2)}
    assert received == {name: traceparent(spans.one(f"orders {name}")) for name in ("first", "second")}
    assert _native.CURRENT_TRACE.get() is None


def test_a_call_outside_of_a_handlers_span_goes_on_with_the_events_trace(
    memory: Client, spans: Spans
) -> None:
    token = _native.set_trace(PARENT, None)
    memory.invoke_binding("orders", "create")
    _native.reset_trace(token)
    parent = spans.one("orders create").parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == PARENT.split("-")[2]


def test_threads_of_a_handler_are_threads_of_the_program(memory: Client, spans: Spans) -> None:
    @memory.binding("orders")
    def on_order(event: Event) -> None:
        thread = threading.Thread(target=memory.invoke_binding, args=("audit", "create"))
        thread.start()
        thread.join()

    memory.invoke_binding("orders", "create")
    memory.start()
    assert spans.one("audit create").parent is None, "their context is empty"


SEEN = """\
import sys
{before}
from bindwright import Client
with Client(".") as client:
    {call}
    seen = []
    @client.binding("orders")
    def handle(event):
        seen.append({inside})
        client.invoke_binding("audit", "create")
    client.start()
    with client.events("audit") as events:
        event = next(events)
        event.ack()
    print(seen[0], event.metadata.get("traceparent"), event.metadata.get("tracestate"))
"""


def test_with_the_api_alone_the_callers_context_travels(program: Program, folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("audit")
    source = SEEN.format(
        before=(
            "from opentelemetry import trace\n"
            "from opentelemetry.propagate import extract\n"
            f"remote = extract({{'traceparent': '{PARENT}', 'tracestate': 'vendor=1'}})\n"
        ),
        call="with trace.use_span(trace.get_current_span(remote)): client.invoke_binding('orders', 'create')",
        inside="trace.get_current_span().get_span_context().span_id",
    )
    out, error = program(source).communicate(timeout=20)
    assert (out, error) == (f"{int(PARENT.split('-')[2], 16)} {PARENT} vendor=1\n", "")


@pytest.mark.parametrize(
    "blocked", ["", "sys.modules['opentelemetry'] = sys.modules['opentelemetry.trace'] = None"]
)
def test_without_opentelemetry_the_events_trace_travels(
    program: Program, folder: Folder, blocked: str
) -> None:
    folder.memory("orders")
    folder.memory("audit")
    source = SEEN.format(
        before=blocked,
        call=f"client.invoke_many('orders', 'create', [b''], {{'traceparent': '{PARENT}'}})",
        inside="sum(name.startswith('opentelemetry') for name in sys.modules)",
    )
    out, error = program(source).communicate(timeout=20)
    assert (out, error) == (f"{2 if blocked else 0} {PARENT} None\n", "")


def test_calls_and_handlers_on_a_loop_are_spans_as_well(folder: Folder, spans: Spans) -> None:
    from opentelemetry import trace

    folder.memory("orders")
    folder.memory("audit")
    current: list[SpanContext] = []

    async def main() -> None:
        async with AioClient(folder.path) as client:

            @client.binding("orders")
            async def on_order(event: Event) -> None:
                await asyncio.sleep(0)
                current.append(trace.get_current_span().get_span_context())
                await client.invoke_binding("audit", "create", event.data)

            with spans.tracer.start_as_current_span("caller"):
                calls = [client.invoke_binding("orders", "create", b"a") for _ in range(2)]
                await asyncio.gather(*calls)
            await client.start()
            async with client.events("audit") as audit:
                for _ in range(2):
                    (await anext(audit)).ack()

    asyncio.run(main())
    [caller] = spans.named("caller")
    sent, handled, sent_on = (
        spans.named(name) for name in ("orders create", "orders process", "audit create")
    )
    assert [len(each) for each in (sent, handled, sent_on)] == [2, 2, 2]
    assert [one.parent for one in sent] == [context(caller)] * 2
    assert {one.parent and one.parent.span_id for one in handled} == {context(one).span_id for one in sent}
    assert current == [context(one) for one in handled]
    assert [one.parent for one in sent_on] == current
