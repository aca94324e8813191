"""Traces: spans of OpenTelemetry where the program uses it, and the trace context that goes with calls.

`CURRENT_TRACE` (of the native part) holds `traceparent` and `tracestate` for the calls of this thread or
task; `set_trace` sets it, and calls whose metadata has no `traceparent` get them. A handler's calls go along
with its event's trace: the native part sees to that for handlers in threads, `enter` for those in tasks. With
OpenTelemetry a call carries the context of its own span instead.

OpenTelemetry is never imported before the program has done so. Clients use `invocation` and `handling`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bindwright._native import CURRENT_TRACE, VERSION, Event, reset_trace, set_trace
from bindwright.errors import BindwrightError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, Tracer

_CREATE = "create"
"""The operation that sends; what is sent carries the span's context."""


def is_used() -> bool:
    """Whether the program has imported OpenTelemetry."""
    # Who wants to forbid an import puts None there.
    return sys.modules.get("opentelemetry.trace") is not None


class Invocation:
    """The span of a call; without OpenTelemetry there is none."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def results(self, results: Sequence[object]) -> None:
        """Tell what became of many payloads; errors among the results are not raised, but are errors."""
        if self._span is not None:
            failed = [result for result in results if isinstance(result, BindwrightError)]
            self._span.set_attribute("messaging.batch.message_count", len(results))
            if failed:
                _fail(
                    self._span,
                    failed[0],
                    f"{len(failed)} of {len(results)} failed, the first one: {failed[0]}",
                )


_NO_INVOCATION = contextlib.nullcontext(Invocation())


def invocation(binding: str, operation: str, metadata: object = None) -> AbstractContextManager[Invocation]:
    """Make a span around a call, below the caller's current one; its context goes with the call.

    `metadata` is the call's own: a mapping, a list of them, or `None`. A `traceparent` in it goes with the
    call instead of the span's context, and is linked.
    """
    return _invocation(binding, operation, metadata) if is_used() else _NO_INVOCATION


def handling(binding: str, events: Event | Sequence[Event]) -> AbstractContextManager[None]:
    """Make the span that a handler runs in, current inside: below its event's trace, or linked to many."""
    return _handling(binding, events) if is_used() else contextlib.nullcontext()


def enter(events: Event | list[Event]) -> None:
    """Let the calls of this task go along with the event's trace; for handlers in tasks."""
    traceparent = None if isinstance(events, list) else events.traceparent
    if traceparent is not None and not isinstance(events, list):
        set_trace(traceparent, events.tracestate)
    elif CURRENT_TRACE.get() is not None:
        # That of an earlier event, which is not this one's.
        CURRENT_TRACE.set(None)


def traced(binding: str, handler: Callable[..., object]) -> Callable[..., object]:
    """Return the handler inside `handling`."""

    def handle(events: Event | Sequence[Event]) -> object:
        with handling(binding, events):
            return handler(events)

    return handle


@functools.cache
def _tracer() -> Tracer:
    from opentelemetry import trace

    # Of the provider that the program sets, also when it does so later.
    return trace.get_tracer("bindwright", VERSION)


@contextlib.contextmanager
def _invocation(binding: str, operation: str, metadata: object) -> Iterator[Invocation]:
    from opentelemetry import trace

    links = _own_traces(metadata)
    # What carries another context was created elsewhere, and is only sent here.
    kind = trace.SpanKind.PRODUCER if operation == _CREATE and not links else trace.SpanKind.CLIENT
    inherited = CURRENT_TRACE.get()
    parent = None
    if inherited is not None and not trace.get_current_span().get_span_context().is_valid:
        parent = _context(*inherited)
    span = _tracer().start_span(
        f"{binding} {operation}",
        context=parent,
        kind=kind,
        attributes={"bindwright.binding": binding, "bindwright.operation": operation},
        links=links,
    )
    # Without an SDK there is no span, and what is current goes with the call.
    context = span.get_span_context()
    if not context.is_valid:
        context = trace.get_current_span().get_span_context()
    token = set_trace(*_texts(context)) if context.is_valid else None
    try:
        yield Invocation(span)
    except BaseException as error:
        _fail(span, error, str(error))
        raise
    finally:
        if token is not None:
            # A task that nobody awaits any more is closed wherever garbage is collected.
            with contextlib.suppress(ValueError):
                reset_trace(token)
        span.end()


@contextlib.contextmanager
def _handling(binding: str, events: Event | Sequence[Event]) -> Iterator[None]:
    from opentelemetry import trace

    # The span that was current where the program began to handle events has nothing to do with them.
    nothing = trace.set_span_in_context(trace.INVALID_SPAN)
    attributes: dict[str, str | int] = {"bindwright.binding": binding}
    links: list[Link] = []
    parent = nothing
    if isinstance(events, Event):
        attributes["bindwright.attempt"] = events.attempt
        parent = _context(events.traceparent, events.tracestate, nothing)
    else:
        attributes["messaging.batch.message_count"] = len(events)
        links = [
            trace.Link(_span_context(event.traceparent, event.tracestate))
            for event in events
            if event.traceparent is not None
        ]
    span = _tracer().start_span(
        f"{binding} process", context=parent, kind=trace.SpanKind.CONSUMER, attributes=attributes, links=links
    )
    with trace.use_span(span, end_on_exit=True, record_exception=True, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            _fail(span, error, f"{type(error).__name__}: {error}")
            raise


def _fail(span: Span, error: BaseException, description: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    code = error.code if isinstance(error, BindwrightError) else type(error).__qualname__
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, description))


def _own_traces(metadata: object) -> list[Link]:
    """Return links to the caller's own traces; metadata that is none is refused elsewhere."""
    from opentelemetry.trace import Link

    if metadata is None:
        return []
    entries: Sequence[Any] = metadata if isinstance(metadata, list | tuple) else [metadata]
    links = []
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("traceparent"), str):
            context = _span_context(entry["traceparent"], entry.get("tracestate"))
            # What is no valid trace still is the caller's, and goes with the call.
            links.append(Link(context))
    return links


def _texts(context: SpanContext) -> tuple[str, str | None]:
    """Return `traceparent` and `tracestate`."""
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return traceparent, context.trace_state.to_header() or None


def _context(traceparent: str | None, tracestate: str | None, base: Context | None = None) -> Context:
    """Return the context `base`, with the trace as its remote parent where there is one."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": traceparent, "tracestate": tracestate}
    texts = {name: text for name, text in carrier.items() if isinstance(text, str)}
    return TraceContextTextMapPropagator().extract(texts, base)


def _span_context(traceparent: str | None, tracestate: str | None) -> SpanContext:
    from opentelemetry import trace

    context = _context(traceparent, tracestate, trace.set_span_in_context(trace.INVALID_SPAN))
    return trace.get_current_span(context).get_span_context()
