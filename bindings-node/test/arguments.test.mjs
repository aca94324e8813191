// What a program in JavaScript may pass by mistake: refused with what is wrong, before anything is sent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Client } from '../dist/index.mjs'
import { Sandbox } from '../dist/testing.mjs'
import { folder, memory, opened } from './fixture.mjs'

async function open(context, options = {}) {
  const client = await Client.open({ resources: folder(context, { 'a.yaml': memory('orders') }), ...options })
  context.after(() => client.close({ drainMs: 0 }))
  return client
}

const OPTIONS = { name: 'BindwrightError', code: 'INVALID_OPTIONS' }
const REQUEST = { name: 'BindwrightError', code: 'INVALID_REQUEST' }

test('options of another type are refused by their name', async () => {
  for (const given of [null, 'components', 5]) {
    await assert.rejects(Client.open(given), { ...OPTIONS, message: /expected an object with options/ })
  }
  const texts = { appId: 5, transport: {}, sidecarEndpoint: new URL('http://here'), sidecarToken: 5, appToken: null }
  const numbers = { timeoutMs: '5', maxMessageSize: '4Mi', maxRetries: '1', appPort: '5051' }
  const wrong = { resources: 5, hotReload: 'no', logger: null, sidecarCa: 5, ...texts, ...numbers }
  for (const [name, value] of Object.entries(wrong)) {
    await assert.rejects(Client.open({ [name]: value }), { ...OPTIONS, message: new RegExp(`^${name}: expected`) })
  }
  await assert.rejects(Client.open({ resources: null }), {
    ...OPTIONS,
    message: /^resources: expected paths, got null/,
  })
})

test('options of a sidecar are refused by their name, whatever the transport', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const wrong = {
    maxMessageSize: [0, -1, 1.5, Number.NaN, 2 ** 32],
    maxRetries: [1.5, Number.NaN, Number.POSITIVE_INFINITY],
    appPort: [0, -1, 1.5, 65_536],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const refused = { ...OPTIONS, message: new RegExp(`^${name}: expected`) }
      await assert.rejects(Client.open({ resources, [name]: value }), refused)
    }
  }
  const sidecar = { transport: 'sidecar-grpc' }
  for (const [given, message] of [
    [{ transport: 'sidecar' }, /transport: expected "embedded", "sidecar-grpc" or "sidecar-http", got "sidecar"/],
    [{ ...sidecar, sidecarEndpoint: 'here/path' }, /sidecar cannot be used/],
    [{ transport: 'sidecar-http', sidecarEndpoint: 'here:3500' }, /sidecar cannot be used/],
    [{ ...sidecar, sidecarCa: '/no/such/file' }, /\/no\/such\/file cannot be read/],
  ]) {
    await assert.rejects(Client.open(given), { ...OPTIONS, message })
  }
  const client = await Client.open({ ...sidecar, maxRetries: -1, appPort: 5051, maxMessageSize: 1, sidecarToken: 'a' })
  await client.close()
})

test('arguments of another type are refused by the method', async (context) => {
  const client = await open(context)
  for (const method of ['events', 'removeComponent', 'addComponent']) {
    assert.throws(() => client[method](7), {
      ...OPTIONS,
      message: new RegExp(`^${method}: expected a text, got number`),
    })
  }
  const sandbox = opened(context, new Sandbox())
  assert.throws(() => sandbox.fail('orders', 5), OPTIONS)
  for (const method of ['ready', 'close']) await client[method](null)
})

test('a number of things is a whole one', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const pushed = sandbox.push('orders', 'x')
  for (const number of [0, -1, Number.NaN, 1.5, 2 ** 32, 1e308, '1', null]) {
    const refused = { ...OPTIONS, message: /expected a whole number from 1/ }
    assert.throws(() => client.onBinding('orders', () => undefined, { batch: number }), refused)
    assert.throws(() => sandbox.reply('orders', 'x', { times: number }), refused)
    await assert.rejects(sandbox.waitFor('orders', { count: number, timeoutMs: 0 }), refused)
    await assert.rejects(pushed.wait({ deliveries: number, timeoutMs: 0 }), refused)
  }
})

test('a failure of which nobody says how often is for one call', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.fail('orders', 'BACKEND_ERROR', { times: undefined })
  await assert.rejects(client.invokeBinding('orders', 'create'), { code: 'BACKEND_ERROR' })
  await client.invokeBinding('orders', 'create')
})

test('what is no list of payloads is not sent as one', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const payloads = [
    undefined,
    null,
    'abc',
    Buffer.from('abc'),
    new Float64Array(3),
    Promise.resolve(['a']),
    { a: 1 },
    5,
  ]
  async function* later() {
    yield 1
  }
  for (const given of [...payloads, later()]) {
    await assert.rejects(client.invokeMany('orders', 'create', given), {
      ...REQUEST,
      message: /payloads: expected a list/,
    })
  }
  assert.equal(sandbox.invocations().length, 0)
  assert.equal((await client.invokeMany('orders', 'create', new Map([[1, 2]]).values())).length, 1)
})

test('what JSON would show nothing of is refused', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const reply = await client.invokeBinding('orders', 'create', 'x')
  const own = new (class Order {})()
  const nothing = [
    new Error('x'),
    /x/,
    new WeakMap(),
    [1].values(),
    new Blob(['a']),
    new Date(Number.NaN),
    Number.NaN,
    new Set(),
    Promise.resolve(1),
    new Headers(),
    reply,
  ]
  sandbox.forget()
  for (const given of nothing) await assert.rejects(client.invokeBinding('orders', 'create', given), REQUEST)
  for (const metadata of [new Set(['a']), new Headers({ a: 'b' }), new Map(), ['a']]) {
    await assert.rejects(client.invokeBinding('orders', 'create', 'x', { metadata }), REQUEST)
  }
  assert.equal(sandbox.invocations().length, 0)
  const some = [
    own,
    {},
    Object.create(null),
    { toJSON: () => null },
    { toJSON: () => ({}) },
    new Date(0),
    new URL('a:b'),
  ]
  for (const given of some) await client.invokeBinding('orders', 'create', given)
  assert.deepEqual(
    sandbox.invocations().map((one) => one.text()),
    ['{}', '{}', '{}', 'null', '{}', '"1970-01-01T00:00:00.000Z"', '"a:b"'],
  )
})

test('what arrived shows itself in logs', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.push('orders', 'text', { metadata: { a: 'b' } })
  const { value: event } = await client.events('orders').next()
  assert.equal(inspect(event), "BindingEvent { binding: 'orders', data: <Buffer 74 65 78 74>, metadata: { a: 'b' } }")
  assert.match(inspect([[[event]]]), /\[BindingEvent\]/)
  sandbox.reply('orders', null)
  assert.equal(inspect(await client.invokeBinding('orders', 'create')), 'Reply { data: null, metadata: {} }')
})

test('whoever starts at the same time hears how it ends', async (context) => {
  const client = await open(context)
  client.onBinding('missing', () => undefined)
  const ends = await Promise.allSettled([client.start(), client.start()])
  assert.deepEqual(
    ends.map(({ reason }) => reason?.code),
    ['COMPONENT_NOT_FOUND', 'COMPONENT_NOT_FOUND'],
  )
  client.addComponent(memory('missing'))
  await client.start()
})

test('a client that was closed begins nothing, whatever it did before', async (context) => {
  const client = await open(context)
  client.onBinding('orders', () => undefined)
  await client.start()
  await client.start()
  await client.close()
  await assert.rejects(client.start(), { code: 'CLOSED' })
  await assert.rejects(client.run(), { code: 'CLOSED' })
})

test('a client that did not become ready is closed', async (context) => {
  const close = context.mock.method(Client.prototype, 'close')
  const resources = folder(context, { 'a.yaml': memory('orders', { maxInFlight: 'x' }) })
  await assert.rejects(Client.open({ resources, wait: 'ready' }), { code: 'INVALID_SETTINGS' })
  assert.equal(close.mock.callCount(), 1)
})

test('an iterator that was closed does not subscribe any more', async (context) => {
  const client = await open(context)
  const events = client.events('missing')
  await events.close()
  await events.open()
  assert.deepEqual(await events.next(), { done: true, value: undefined })
})
