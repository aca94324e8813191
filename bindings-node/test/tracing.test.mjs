// Spans of calls and handlers with OpenTelemetry; without it `events.test.mjs` shows what travels.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { context as contexts, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { Client, Outcome } from '../dist/index.mjs'
import { Sandbox } from '../dist/testing.mjs'
import { ended, folder, memory, opened, until } from './fixture.mjs'

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

const exporter = new InMemorySpanExporter()
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
const tracer = trace.getTracer('test')

async function open(context, sandbox = opened(context, new Sandbox())) {
  exporter.reset()
  const client = opened(context, await Client.open({ resources: folder(context, { 'a.yaml': memory('orders') }) }))
  return { client, sandbox }
}

async function spans(name, count = 1) {
  const found = () => exporter.getFinishedSpans().filter((span) => span.name === name)
  await until(`${count} spans ${name}`, () => found().length >= count)
  assert.equal(found().length, count)
  return found()
}

const traceparent = (span) => {
  const { traceId, spanId } = span.spanContext()
  return `00-${traceId}-${spanId}-01`
}

test("a call is a span below the caller's, and its context travels", async (context) => {
  const { client, sandbox } = await open(context)
  const outer = tracer.startSpan('outer')
  await contexts.with(trace.setSpan(contexts.active(), outer), () => client.invokeBinding('orders', 'create', 'x'))
  const [span] = await spans('orders create')
  assert.equal(span.kind, SpanKind.PRODUCER)
  assert.equal(span.parentSpanContext.spanId, outer.spanContext().spanId)
  assert.deepEqual(span.attributes, { 'bindwright.binding': 'orders', 'bindwright.operation': 'create' })
  assert.equal(sandbox.invocations('orders')[0].metadata.traceparent, traceparent(span))
})

test('other operations are calls of a client', async (context) => {
  const { client } = await open(context)
  await client.invokeBinding('orders', 'size')
  const [span] = await spans('orders size')
  assert.equal(span.kind, SpanKind.CLIENT)
})

test('a failed call tells its code', async (context) => {
  const { client, sandbox } = await open(context)
  sandbox.fail('orders', 'UNAVAILABLE')
  await assert.rejects(client.invokeBinding('orders', 'create', 'x'))
  const [span] = await spans('orders create')
  assert.equal(span.status.code, SpanStatusCode.ERROR)
  assert.equal(span.attributes['error.type'], 'UNAVAILABLE')
})

test('many payloads are one span, which tells how many failed', async (context) => {
  const { client, sandbox } = await open(context)
  sandbox.fail('orders', 'BACKEND_ERROR')
  const results = await client.invokeMany('orders', 'create', ['a', 'b', Number.NaN], { metadata: { key: '1' } })
  assert.equal(results.filter((result) => result instanceof Error).length, 2)
  const [span] = await spans('orders create')
  assert.equal(span.attributes['messaging.batch.message_count'], 3)
  assert.match(span.status.message, /^2 of 3 failed, the first one: /)
  for (const invocation of sandbox.invocations('orders')) {
    assert.deepEqual(invocation.metadata, { key: '1', traceparent: traceparent(span) })
  }
})

test("the caller's own traceparent travels, and is linked", async (context) => {
  const { client, sandbox } = await open(context)
  await client.invokeBinding('orders', 'create', 'x', { metadata: { traceparent: PARENT } })
  const [span] = await spans('orders create')
  assert.equal(span.kind, SpanKind.CLIENT)
  assert.equal(span.links[0].context.traceId, PARENT.split('-')[1])
  assert.equal(sandbox.invocations('orders')[0].metadata.traceparent, PARENT)
})

test("a handler runs in a span below its event's, and its calls below that", async (context) => {
  const { client, sandbox } = await open(context)
  client.onBinding('orders', async (event) => {
    await null
    await client.invokeBinding('shipments', 'create', event.data)
  })
  client.addComponent(memory('shipments'))
  // What is current where handlers are started has nothing to do with their events.
  const outer = tracer.startSpan('outer')
  await contexts.with(trace.setSpan(contexts.active(), outer), () => client.start())
  const metadata = { traceparent: PARENT, tracestate: 'shop=1' }
  await sandbox.push('orders', 'x', { metadata }).wait()
  const [handler] = await spans('orders process')
  assert.equal(handler.kind, SpanKind.CONSUMER)
  assert.equal(handler.parentSpanContext.spanId, PARENT.split('-')[2])
  assert.equal(handler.attributes['bindwright.attempt'], 1)
  const [call] = await spans('shipments create')
  assert.equal(call.parentSpanContext.spanId, handler.spanContext().spanId)
  const [sent] = sandbox.invocations('shipments')
  assert.deepEqual(sent.metadata, { traceparent: traceparent(call), tracestate: 'shop=1' })
})

test('what a handler throws is recorded, and every delivery has a span', async (context) => {
  const { client, sandbox } = await open(context)
  client.onBinding('orders', (event) => {
    if (event.attempt === 1) {
      throw new RangeError('too far')
    }
    return Outcome.ack
  })
  await client.start()
  await sandbox.push('orders', 'x').wait()
  const [first, second] = await spans('orders process', 2)
  assert.equal(first.parentSpanContext, undefined)
  assert.equal(first.attributes['error.type'], 'RangeError')
  assert.equal(first.events[0].attributes['exception.message'], 'too far')
  assert.equal(second.status.code, SpanStatusCode.UNSET)
  assert.equal(second.attributes['bindwright.attempt'], 2)
})

test('a handler that throws what has no text has a span, too', async (context) => {
  const { client, sandbox } = await open(context)
  const thrown = Object.defineProperty({}, 'then', {
    get() {
      throw Object.create(null)
    },
  })
  client.onBinding('orders', (event) => {
    if (event.attempt === 1) throw Object.create(null)
    return event.attempt === 2 ? thrown : undefined
  })
  await client.start()
  const { cause } = await sandbox.push('orders', 'x').wait()
  assert.deepEqual(cause, { code: 'object', text: 'what was thrown has no text' })
  const messages = (await spans('orders process', 3)).map((span) => span.status.message)
  assert.deepEqual(messages, [...Array(2).fill('object: what was thrown has no text'), undefined])
})

test('a batch is a span with links', async (context) => {
  const { client, sandbox } = await open(context)
  client.onBinding('orders', async () => undefined, { batch: 10 })
  sandbox.push('orders', 'x', { metadata: { traceparent: PARENT } })
  const last = sandbox.push('orders', 'y')
  await client.start()
  await last.wait()
  const [span] = await spans('orders process')
  assert.equal(span.attributes['messaging.batch.message_count'], 2)
  assert.deepEqual(
    span.links.map((link) => link.context.spanId),
    [PARENT.split('-')[2]],
  )
})

test('without an SDK nothing of OpenTelemetry is loaded', (context) => {
  const { status, stdout, stderr } = ended(
    context,
    `import { createRequire } from 'node:module'
    const client = await Client.open({ resources })
    await client.invokeBinding('orders', 'create', 'x')
    await client.close()
    const { cache } = createRequire('/')
    console.log(Object.keys(cache).filter((name) => name.includes('opentelemetry')).length)`,
  )
  assert.deepEqual([status, stdout, stderr], [0, '0\n', ''])
})
