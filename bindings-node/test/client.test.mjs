// Opening, calls, data, errors, aborting, components, closing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { BindwrightError, Client, Reply } from '../dist/index.mjs'
import { Answer, Sandbox } from '../dist/testing.mjs'
import { collected, deferred, folder, memory, native, opened, program, translated, until } from './fixture.mjs'

async function open(context, documents = memory('orders'), options = {}) {
  const client = await Client.open({ resources: folder(context, { 'a.yaml': documents }), ...options })
  context.after(() => client.close({ drainMs: 0 }))
  return client
}

test('what is sent arrives as it was', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const bytes = Buffer.from([0, 255, 128])
  const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(7)
  const cases = [
    [bytes, bytes],
    [new Uint8Array(bytes), bytes],
    [bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 3), bytes],
    [new DataView(bytes.buffer, bytes.byteOffset + 1, 2), bytes.subarray(1)],
    [new Uint16Array([0x0201]), Buffer.from([1, 2])],
    [shared.buffer, Buffer.from([7, 7])],
    ['grüße', Buffer.from('grüße')],
    ['', Buffer.from('')],
    [undefined, Buffer.from('')],
    [null, null],
    [0, Buffer.from('0')],
    [false, Buffer.from('false')],
    [{ a: [1, null], b: 'ü' }, Buffer.from('{"a":[1,null],"b":"ü"}')],
    [{ toJSON: () => 'own' }, Buffer.from('"own"')],
  ]
  for (const [data] of cases) await client.invokeBinding('orders', 'create', data)
  const sent = sandbox.invocations('orders').map((invocation) => invocation.data)
  assert.deepEqual(
    sent,
    cases.map(([, expected]) => expected),
  )
})

test('the caller may change its buffer as soon as the call returns', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  for (const size of [3, 300_000]) {
    const data = Buffer.alloc(size, 'a')
    const call = client.invokeBinding('orders', 'create', data)
    data.fill('b')
    await call
    assert.deepEqual(sandbox.invocations('orders').at(-1).data, Buffer.alloc(size, 'a'))
  }
})

test('what cannot be sent is refused with its reason', async (context) => {
  const client = await open(context)
  const loop = {}
  loop.loop = loop
  const refused = (data, text, options) =>
    assert.rejects(client.invokeBinding('orders', 'create', data, options), (error) => {
      assert.ok(error instanceof BindwrightError)
      assert.equal(error.code, 'INVALID_REQUEST')
      assert.equal(error.component, 'orders')
      assert.equal(error.operation, 'create')
      assert.equal(error.retriable, false)
      assert.ok(error.message.includes(text), error.message)
      return true
    })
  await refused(loop, 'a value of type Object cannot be sent as JSON')
  await refused(10n, 'BigInt')
  await refused(() => 1, 'a value of type function cannot be sent as JSON')
  await refused(new Map([['a', 1]]), 'a value of type Map cannot be sent as JSON')
  await refused(new Set(), 'make it an object or an array')
  await refused(Promise.resolve(1), 'it was not awaited')
  await refused(Number.NaN, 'JSON has no NaN')
  const gone = new Uint8Array(8)
  structuredClone(gone, { transfer: [gone.buffer] })
  await refused(gone, 'its memory was transferred elsewhere')
  await refused(gone.buffer, 'its memory was transferred elsewhere')
  await refused('\ud800', 'UTF-8')
  await refused('x', 'expected a text for "key", got number', { metadata: { key: 1 } })
  await refused('x', 'metadata: expected an object with texts, got Map', { metadata: new Map() })
  await refused('x', 'metadata: "key" or its text cannot be sent as UTF-8', { metadata: { key: 'a\udc00' } })
  await refused('x', 'timeoutMs: expected at least 0', { timeoutMs: -1 })
  await refused('x', 'timeout: no such option', { timeout: 5 })
  await refused('x', 'Options are: metadata, timeoutMs, signal.', { timeout: 5 })
  await refused('x', 'expected an object with options, got number', 5)
  await assert.rejects(client.invokeBinding(1, 'create'), { code: 'INVALID_REQUEST' })
})

test('a reply has data, text, JSON and metadata', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', { ok: true, text: 'ü' })
  const reply = await client.invokeBinding('orders', 'create', 'x')
  assert.ok(reply instanceof Reply)
  assert.ok(Buffer.isBuffer(reply.data))
  assert.equal(reply.text(), '{"ok":true,"text":"ü"}')
  assert.deepEqual(reply.json(), { ok: true, text: 'ü' })
  assert.deepEqual(reply.metadata, {})
  sandbox.reply('orders', null)
  const empty = await client.invokeBinding('orders', 'create', 'x')
  assert.deepEqual([empty.data, empty.text(), empty.json()], [null, '', null])
})

test('large replies arrive whole, and stay when garbage is collected', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', () => Buffer.alloc(1_000_000, 'z'))
  const replies = await Promise.all(Array.from({ length: 20 }, () => client.invokeBinding('orders', 'create')))
  const data = replies.map((reply) => reply.data)
  replies.length = 0
  globalThis.gc()
  for (const one of data) assert.ok(one.equals(Buffer.alloc(1_000_000, 'z')))
})

test('what is told together reaches each call', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const said = (number) => ({
    'a:b': `ü:😀\u0000${number}`,
    [`of ${number}`]: '',
    '': '',
    number: String(number).repeat(number % 5),
  })
  // Some at once and some later, with data, without data, and with an error.
  const answers = Array.from({ length: 500 }, (_, number) => (number % 7 === 0 ? `data ${number}` : null))
  const answer = ({ data }) => {
    const number = Number(data.toString())
    if (number % 11 === 0) throw new BindwrightError({ text: 'no', message: 'no', code: 'UNAVAILABLE', whatToDo: '' })
    return new Answer(answers[number], said(number))
  }
  for (const delayMs of [0, 5]) {
    sandbox.reply('orders', answer, { delayMs })
    const calls = answers.map((_, number) => client.invokeBinding('orders', 'create', number).catch((error) => error))
    const many = await client.invokeMany('orders', 'create', [...answers.keys()])
    const replies = await Promise.all(calls)
    for (const list of [replies, many]) {
      list.forEach((reply, number) => {
        if (number % 11 === 0) {
          assert.ok(reply instanceof BindwrightError, `${number}: ${reply}`)
        } else {
          assert.equal(reply.data?.toString() ?? null, answers[number])
          assert.deepEqual({ ...reply.metadata }, said(number))
        }
      })
    }
  }
})

test('a program may make up names of operations without end', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  for (let number = 0; number < 1_000; number++) {
    sandbox.reply('orders', null)
    await client.invokeBinding('orders', 'create', String(number))
    await assert.rejects(client.invokeBinding('orders', `made up ${number}`), { code: 'UNSUPPORTED_OPERATION' })
  }
  assert.equal(sandbox.invocations('orders').filter((one) => one.operation === 'create').length, 1_000)
})

test('metadata may have any name', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const metadata = JSON.parse('{"__proto__": "a", "constructor": "b", "ü": ""}')
  await client.invokeBinding('orders', 'create', 'x', { metadata })
  assert.deepEqual(Object.entries(sandbox.invocations()[0].metadata), Object.entries(metadata))
})

test('an error tells its parts and where the call was made', async (context) => {
  const client = await open(context)
  async function theCaller() {
    await client.invokeBinding('missing', 'create')
  }
  const error = await theCaller().catch((error) => error)
  assert.ok(error instanceof BindwrightError && error instanceof Error)
  assert.equal(error.name, 'BindwrightError')
  assert.equal(error.code, 'COMPONENT_NOT_FOUND')
  assert.equal(error.component, 'missing')
  assert.equal(error.retriable, false)
  assert.match(error.message, /missing: .* \[COMPONENT_NOT_FOUND\]; /)
  assert.ok(error.message.includes(error.summary) && error.message.includes(error.whatToDo))
  assert.match(error.stack, /theCaller/)
})

test('options that cannot be used are refused', async (context) => {
  const path = folder(context, { 'a.yaml': memory('orders') })
  const refused = (options, text) => assert.rejects(Client.open(options), { code: 'INVALID_OPTIONS', message: text })
  await refused({ resources: '/nowhere' }, /nowhere/)
  await refused({ resources: [7] }, /resources: expected paths, got number/)
  await refused({ resources: path, ressources: 1 }, /ressources: no such option/)
  await refused({ resources: path, timeoutMs: Number.NaN }, /timeoutMs/)
  await refused({ resources: path, wait: 'later' }, /wait: expected "ready", got "later"/)
  await refused({ resources: path, transport: 'pigeon' }, /transport: expected .*, got "pigeon"/)
  await refused({ resources: path, logLevel: 'loud' }, /logLevel/)
  await refused({ resources: path, logger: {} }, /logger/)
})

test('resources are a path, a URL or several', async (context) => {
  const [one, two] = ['one', 'two'].map((name) => folder(context, { 'a.yaml': memory(name) }))
  const names = async (resources) => {
    const client = opened(context, await Client.open({ resources }))
    return (await client.components()).map((component) => component.name)
  }
  assert.deepEqual(await names(pathToFileURL(one)), ['one'])
  assert.deepEqual(await names([one, pathToFileURL(two)]), ['one', 'two'])
})

test('an aborted call ends at once, and its request is recalled', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', 'late', { delayMs: 60_000 })
  const controller = new AbortController()
  const call = client.invokeBinding('orders', 'create', 'x', { signal: controller.signal, timeoutMs: 120_000 })
  const reason = new Error('changed my mind')
  setImmediate(() => controller.abort(reason))
  await assert.rejects(call, {
    name: 'BindwrightError',
    code: 'CANCELLED',
    component: 'orders',
    operation: 'create',
    cause: reason,
  })
  assert.deepEqual(
    sandbox.invocations('orders').map((one) => one.error),
    ['CANCELLED'],
  )
  await assert.rejects(client.invokeBinding('orders', 'create', 'x', { signal: controller.signal }), {
    code: 'CANCELLED',
  })
  assert.equal(sandbox.invocations('orders').length, 1, 'nothing was sent')
})

test('an aborted call leaves those alone that come after it', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', ({ data }) => data, { delayMs: 20 })
  for (let round = 0; round < 20; round++) {
    const controller = new AbortController()
    const ended = client.invokeBinding('orders', 'create', 'a', { signal: controller.signal })
    const stays = client.invokeBinding('orders', 'create', 'b')
    controller.abort()
    const follows = client.invokeBinding('orders', 'create', 'c', { signal: controller.signal })
    const last = client.invokeBinding('orders', 'create', 'd')
    await assert.rejects(ended, { code: 'CANCELLED' })
    await assert.rejects(follows, { code: 'CANCELLED' })
    assert.deepEqual([(await stays).text(), (await last).text()], ['b', 'd'])
  }
})

test('an abort after the end does nothing, and the signal keeps no listener', async (context) => {
  const client = await open(context)
  const controller = new AbortController()
  const listeners = { now: 0 }
  const { addEventListener, removeEventListener } = EventTarget.prototype
  controller.signal.addEventListener = function (...given) {
    listeners.now++
    addEventListener.apply(this, given)
  }
  controller.signal.removeEventListener = function (...given) {
    listeners.now--
    removeEventListener.apply(this, given)
  }
  await client.invokeBinding('orders', 'create', 'x', { signal: controller.signal })
  assert.equal(listeners.now, 0)
  controller.abort()
})

test('a call ends at its deadline', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', 'late', { delayMs: 60_000 })
  await assert.rejects(client.invokeBinding('orders', 'create', 'x', { timeoutMs: 20 }), {
    code: 'TIMEOUT',
    retriable: true,
  })
})

test('many payloads have one result each, in their order', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', (invocation) => {
    if (invocation.text() === 'b') throw new TypeError('no b')
    return invocation.text().toUpperCase()
  })
  const [first, bad, second, refused] = await client.invokeMany('orders', 'create', ['a', 10n, 'c', 'b'], {
    metadata: { k: 'v' },
  })
  assert.deepEqual([first.text(), second.text()], ['A', 'C'])
  assert.equal(bad.code, 'INVALID_REQUEST')
  assert.equal(refused.code, 'INTERNAL')
  assert.deepEqual(
    sandbox.invocations().map((one) => one.metadata),
    [{ k: 'v' }, { k: 'v' }, { k: 'v' }],
  )
  sandbox.forget()
  await client.invokeMany('orders', 'create', new Set(['a', 'c']), { metadata: [{ n: '1' }, undefined] })
  assert.deepEqual(
    sandbox.invocations().map((one) => one.metadata),
    [{ n: '1' }, {}],
  )
  sandbox.forget()
  await client.invokeMany('orders', 'create', ['a'], { metadata: [{ n: '1' }] })
  assert.deepEqual(
    sandbox.invocations().map((one) => one.metadata),
    [{ n: '1' }],
  )
  assert.deepEqual(await client.invokeMany('orders', 'create', []), [])
  await assert.rejects(client.invokeMany('orders', 'create', ['a'], { metadata: [] }), { code: 'INVALID_REQUEST' })
  await assert.rejects(client.invokeMany('missing', 'create', ['a']), { code: 'COMPONENT_NOT_FOUND' })
})

test('components, faults, and components from code', async (context) => {
  const client = await open(context, `${memory('orders')}---\n${memory('Broken', { maxInFlight: 'x' })}`)
  const [broken, orders] = await client.components()
  assert.equal(orders.type, 'bindings.memory')
  assert.deepEqual([orders.input, orders.output, orders.state], [true, true, 'idle'])
  assert.ok(orders.retries.attempts === 1)
  assert.equal(broken.state, 'failed')
  assert.ok(broken.error instanceof BindwrightError && broken.error.code === 'INVALID_SETTINGS')
  assert.deepEqual(client.addComponent(memory('more')), ['more'])
  await client.invokeBinding('more', 'create', 'x')
  client.removeComponent('more')
  await assert.rejects(client.invokeBinding('more', 'create', 'x'), { code: 'COMPONENT_NOT_FOUND' })
  assert.throws(() => client.removeComponent('more'), { name: 'BindwrightError', code: 'COMPONENT_NOT_FOUND' })
  assert.throws(() => client.addComponent('kind: ['), { code: 'INVALID_MANIFEST' })
  assert.deepEqual((await client.reload()).added, [])
  assert.equal(client.transport, 'embedded')
})

test('open waits until everything works', async (context) => {
  const client = await open(context, memory('orders'), { wait: 'ready', waitTimeoutMs: 5000 })
  assert.equal((await client.components())[0].state, 'ready')
  await client.ready({ timeoutMs: 1000 })
  await client.ready({ signal: new AbortController().signal })
  const path = folder(context, { 'a.yaml': memory('orders', { maxInFlight: 'x' }) })
  await assert.rejects(Client.open({ resources: path, wait: 'ready' }), { code: 'INVALID_SETTINGS' })
})

test('a closed client refuses calls, and closing twice is fine', async (context) => {
  const client = await open(context)
  await client.close()
  await client.close()
  await assert.rejects(client.invokeBinding('orders', 'create'), { code: 'CLOSED' })
  assert.throws(() => client.addComponent(memory('x')), { code: 'CLOSED' })
})

test('closing waits for calls under way', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', 'done', { delayMs: 50 })
  const call = client.invokeBinding('orders', 'create', 'x')
  await client.close()
  assert.equal((await call).text(), 'done')
})

test('two clients share what is in the files, and neither closes the other', async (context) => {
  const path = folder(context, { 'a.yaml': memory('orders') })
  const [one, two] = await Promise.all([Client.open({ resources: path }), Client.open({ resources: path })])
  await one.invokeBinding('orders', 'create', 'x')
  await one.close()
  assert.equal((await two.invokeBinding('orders', 'size')).text(), '1')
  await two.close()
})

test('a client that nobody closed is collected', async (context) => {
  const path = folder(context, { 'a.yaml': memory('orders') })
  let alive = 0
  const registry = new FinalizationRegistry(() => alive--)
  await (async () => {
    for (let count = 0; count < 20; count++) {
      const client = await Client.open({ resources: path })
      await client.invokeBinding('orders', 'create', 'x')
      registry.register(client)
      alive++
    }
  })()
  await collected('clients are collected', () => alive === 0)
})

test('100,000 promises at once, and the memory comes back', { timeout: 200_000 }, (context) => {
  // In a process of its own: node:test follows every promise.
  const [before, after] = program(
    context,
    `const client = await Client.open({ resources })
    const round = () => Promise.all(Array.from({ length: 100_000 }, () => client.invokeBinding('orders', 'size', 'x')))
    const memory = async () => {
      for (let count = 0; count < 3; count++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        globalThis.gc()
      }
      const { heapUsed, rss } = process.memoryUsage()
      return { heapUsed, rss }
    }
    // How much of the garbage of several rounds Node lets stand differs from version to version.
    const rounds = async (number) => {
      let last
      for (let count = 0; count < number; count++) {
        await round()
        last = await memory()
      }
      return last
    }
    console.log(JSON.stringify([await rounds(2), await rounds(3)]))`,
  )
  assert.ok(after.heapUsed - before.heapUsed < 2e6, `heap grew from ${before.heapUsed} to ${after.heapUsed}`)
  assert.ok(after.rss - before.rss < 30e6, `memory grew from ${before.rss} to ${after.rss}`)
})

test('calls that wait are told in their own time, however many complete together', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', 'late', { delayMs: 30 })
  const order = []
  const calls = Array.from({ length: 10_000 }, async (_, number) => {
    await client.invokeBinding('orders', 'create', 'x')
    order.push(number)
  })
  await Promise.all(calls)
  assert.equal(order.length, 10_000)
})

test('a call that is made inside a promise that another one settles is fine', async (context) => {
  const client = await open(context)
  const all = deferred()
  let left = 500
  const again = async () => {
    await client.invokeBinding('orders', 'size')
    if (--left > 0) again().catch(all.reject)
    else all.resolve()
  }
  again()
  await all.promise
  await until('it is over', () => left === 0)
})

test('a fault of the native part that is no error of core is INTERNAL', () => {
  assert.equal(translated(new Error('x')).code, 'INTERNAL')
  assert.equal(typeof native.version(), 'string')
})
