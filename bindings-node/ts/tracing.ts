/**
 * Traces: the context that goes with calls, and spans of OpenTelemetry where the program uses it.
 *
 * OpenTelemetry is no dependency. Once the program has registered an SDK, its API is loaded, and calls and handlers get
 * spans; until then a handler's calls carry the trace of its event.
 */
import { createRequire } from 'node:module'
import type * as OpenTelemetry from '@opentelemetry/api'
import { handled } from './context.js'
import { BindwrightError } from './errors.js'
import type { BindingEvent } from './event.js'
import { native } from './native.js'
import { causeOfFailure } from './outcomes.js'

type Api = typeof OpenTelemetry

/** A call that is being made. */
export interface Call {
  /** The call's metadata, and the trace context that goes along; its own `traceparent` stays. */
  carried(flat: string[] | undefined): string[] | undefined
  /** Notes what became of many payloads: their errors are not thrown. */
  answered(results: readonly unknown[]): void
  /** Notes why it failed, and hands the error on. */
  failed(error: Error): Error
  /** To be told in any case. */
  ended(): void
}

/** Begins a call; `flats` is the metadata that the caller gave. */
export function beginCall(binding: string, operation: string, flats: readonly (string[] | undefined)[]): Call {
  const api = openTelemetry()
  return api === undefined ? UNTRACED : new TracedCall(api, binding, operation, flats)
}

/** The handler in its spans: the same one until the program uses OpenTelemetry, so to be asked for each batch. */
export function inSpans<T extends BindingEvent | BindingEvent[]>(
  binding: string,
  handler: (argument: T) => unknown,
): (argument: T) => unknown {
  const api = openTelemetry()
  return api === undefined ? handler : inSpan(api, binding, handler)
}

// ---- OpenTelemetry ---------------------------------------------------------------------------------------------------

/** Where every version 1 of OpenTelemetry's API keeps what a program registers. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1')
let loaded: Api | 'absent' | undefined

function openTelemetry(): Api | undefined {
  if (loaded === undefined && REGISTERED in globalThis) {
    try {
      loaded = createRequire(__filename)('@opentelemetry/api') as Api
    } catch {
      // The program's copy is out of our reach.
      loaded = 'absent'
    }
  }
  return loaded === 'absent' ? undefined : loaded
}

const tracer = (api: Api) => api.trace.getTracer('bindwright', native.version())

class TracedCall implements Call {
  readonly #api: Api
  readonly #span: OpenTelemetry.Span

  constructor(api: Api, binding: string, operation: string, flats: readonly (string[] | undefined)[]) {
    const links = flats.flatMap((flat) => {
      const context = remote(api, valueNamed(flat, TRACEPARENT), valueNamed(flat, TRACESTATE))
      return context === undefined ? [] : [{ context }]
    })
    // What carries another context was created elsewhere, and is only sent here.
    const creates = operation === 'create' && !flats.some((flat) => valueNamed(flat, TRACEPARENT) !== undefined)
    this.#api = api
    this.#span = tracer(api).startSpan(
      `${binding} ${operation}`,
      {
        kind: creates ? api.SpanKind.PRODUCER : api.SpanKind.CLIENT,
        attributes: { 'bindwright.binding': binding, 'bindwright.operation': operation },
        links,
      },
      parentOfCall(api),
    )
  }

  carried(flat: string[] | undefined): string[] | undefined {
    // Without an SDK for traces this is the context of the caller's current span, or none.
    const context = this.#span.spanContext()
    return this.#api.isSpanContextValid(context) ? joined(flat, texts(context)) : flat
  }

  answered(results: readonly unknown[]): void {
    const errors = results.filter((result) => result instanceof BindwrightError)
    this.#span.setAttribute(COUNT, results.length)
    if (errors[0] !== undefined) {
      const text = `${errors.length} of ${results.length} failed, the first one: ${errors[0].message}`
      fail(this.#api, this.#span, errors[0], text)
    }
  }

  failed(error: Error): Error {
    fail(this.#api, this.#span, error, error.message)
    return error
  }

  ended(): void {
    this.#span.end()
  }
}

const COUNT = 'messaging.batch.message_count'

/** The caller's current span, else the event that is being handled. */
function parentOfCall(api: Api): OpenTelemetry.Context {
  const active = api.context.active()
  const trace = handled.getStore()?.trace
  if (trace === undefined || trace === null || isTraced(api, active)) {
    return active
  }
  return below(api, active, trace)
}

function isTraced(api: Api, context: OpenTelemetry.Context): boolean {
  const current = api.trace.getSpanContext(context)
  return current !== undefined && api.isSpanContextValid(current)
}

function below(api: Api, context: OpenTelemetry.Context, trace: readonly string[] | null): OpenTelemetry.Context {
  const parent = remote(api, trace?.[0], trace?.[1])
  return parent === undefined ? context : api.trace.setSpanContext(context, parent)
}

/** The handler in a span that is current inside: below its event's trace, or linked to many. */
function inSpan<T extends BindingEvent | BindingEvent[]>(api: Api, binding: string, handler: (argument: T) => unknown) {
  return (argument: T): unknown => {
    // The span that was current where the program began to handle events has nothing to do with them.
    const nothing = api.trace.deleteSpan(api.context.active())
    const kind = api.SpanKind.CONSUMER
    const attributes = { 'bindwright.binding': binding }
    const name = `${binding} process`
    const span = Array.isArray(argument)
      ? tracer(api).startSpan(
          name,
          { kind, attributes: { ...attributes, [COUNT]: argument.length }, links: linksTo(api, argument) },
          nothing,
        )
      : tracer(api).startSpan(
          name,
          { kind, attributes: { ...attributes, 'bindwright.attempt': argument.attempt } },
          below(api, nothing, argument.trace),
        )
    return untilDone(api, span, () => api.context.with(api.trace.setSpan(nothing, span), handler, undefined, argument))
  }
}

function linksTo(api: Api, events: readonly BindingEvent[]): OpenTelemetry.Link[] {
  return events.flatMap(({ trace }) => {
    const context = remote(api, trace?.[0], trace?.[1])
    return context === undefined ? [] : [{ context }]
  })
}

/** Ends the span when the handler is done. */
function untilDone(api: Api, span: OpenTelemetry.Span, run: () => unknown): unknown {
  const failed = (error: unknown): never => {
    if (error instanceof Error) {
      span.recordException(error)
    }
    fail(api, span, error, causeOfFailure(error).join(': '))
    span.end()
    throw error
  }
  let answer: unknown
  let waits: boolean
  try {
    answer = run()
    waits = typeof (answer as { then?: unknown } | null | undefined)?.then === 'function'
  } catch (error) {
    return failed(error)
  }
  if (!waits) {
    span.end()
    return answer
  }
  return (answer as PromiseLike<unknown>).then((value) => {
    span.end()
    return value
  }, failed)
}

function fail(api: Api, span: OpenTelemetry.Span, error: unknown, message: string): void {
  const type = error instanceof BindwrightError ? error.code : error instanceof Error ? error.name : typeof error
  span.setAttribute('error.type', type)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}

// ---- W3C's texts -----------------------------------------------------------------------------------------------------

const TRACEPARENT = 'traceparent'
const TRACESTATE = 'tracestate'
const FORM = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/

/** A context that came from elsewhere; none where the text is not valid. */
function remote(
  api: Api,
  traceparent: string | undefined,
  tracestate: string | undefined,
): OpenTelemetry.SpanContext | undefined {
  const [, traceId, spanId, flags] = FORM.exec(traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) {
    return undefined
  }
  const context: OpenTelemetry.SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(tracestate !== undefined && { traceState: api.createTraceState(tracestate) }),
  }
  return api.isSpanContextValid(context) ? context : undefined
}

/** `traceparent` and `tracestate`. */
function texts(context: OpenTelemetry.SpanContext): string[] {
  const flags = context.traceFlags.toString(16).padStart(2, '0')
  const traceparent = `00-${context.traceId}-${context.spanId}-${flags}`
  const tracestate = context.traceState?.serialize()
  return tracestate ? [traceparent, tracestate] : [traceparent]
}

/** Adds a trace, unless the call has one of its own. */
function joined(flat: string[] | undefined, trace: readonly string[]): string[] | undefined {
  const [traceparent, tracestate] = trace
  if (traceparent === undefined || valueNamed(flat, TRACEPARENT) !== undefined) {
    return flat
  }
  const traced = flat === undefined ? [] : flat.slice()
  traced.push(TRACEPARENT, traceparent)
  if (tracestate !== undefined) {
    traced.push(TRACESTATE, tracestate)
  }
  return traced
}

function valueNamed(flat: readonly string[] | undefined, name: string): string | undefined {
  if (flat !== undefined) {
    for (let place = 0; place < flat.length; place += 2) {
      if (flat[place] === name) {
        return flat[place + 1]
      }
    }
  }
  return undefined
}

const UNTRACED: Call = {
  carried(flat) {
    const trace = handled.getStore()?.trace
    return trace === undefined || trace === null ? flat : joined(flat, trace)
  },
  answered() {},
  failed: (error) => error,
  ended() {},
}
