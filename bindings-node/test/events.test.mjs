// Handlers and iterators.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { BindingEvent, BindwrightError, Client, Outcome } from '../dist/index.mjs'
import { Sandbox } from '../dist/testing.mjs'
import { collected, deferred, folder, memory, opened, until } from './fixture.mjs'

async function open(context, documents = memory('orders')) {
  const client = await Client.open({ resources: folder(context, { 'a.yaml': documents }) })
  context.after(() => client.close({ drainMs: 0 }))
  return client
}

async function send(client, ...payloads) {
  for (const payload of payloads) await client.invokeBinding('orders', 'create', payload)
}

test('a handler gets every event, and resolving acks it', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const seen = []
  client.onBinding('orders', async (event) => {
    await null
    seen.push(event.text())
  })
  await client.start()
  const pushed = ['a', 'b', 'c'].map((text) => sandbox.push('orders', text))
  for (const one of pushed) assert.deepEqual(await one.wait(), { deliveries: 1, ending: 'ack' })
  assert.deepEqual(seen, ['a', 'b', 'c'])
})

test('an event has its data, metadata, attempt and binding', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const got = deferred()
  client.onBinding('orders', got.resolve)
  await client.start()
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  sandbox.push('orders', { id: 1 }, { metadata: { a: 'b', traceparent } })
  const event = await got.promise
  assert.ok(event instanceof BindingEvent)
  assert.equal(event.binding, 'orders')
  assert.deepEqual(event.json(), { id: 1 })
  assert.equal(event.data, event.data, 'copied once')
  assert.deepEqual(event.metadata, { a: 'b', traceparent })
  assert.equal(event.attempt, 1)
  assert.equal(event.traceparent, traceparent)
})

test('a handler that changes its data does not change what is delivered again', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const seen = []
  client.onBinding('orders', (event) => {
    seen.push(event.data.toString('latin1', 0, 4))
    event.data.fill(0)
    if (event.attempt === 1) throw new Error('again')
  })
  await client.start()
  await sandbox.push('orders', Buffer.alloc(200_000, 'x')).wait()
  assert.deepEqual(seen, ['xxxx', 'xxxx'])
})

for (const [kind, fail] of Object.entries({
  'an exception': () => {
    throw new RangeError('too far')
  },
  'a rejected promise': () => Promise.reject(new RangeError('too far')),
  'a rejection later': async () => {
    await new Promise((resolve) => setTimeout(resolve, 1))
    throw new RangeError('too far')
  },
})) {
  test(`${kind} in a handler has the event delivered again`, async (context) => {
    const sandbox = opened(context, new Sandbox())
    const client = await open(context)
    const attempts = []
    client.onBinding('orders', (event) => {
      attempts.push(event.attempt)
      return event.attempt < 3 ? fail() : undefined
    })
    await client.start()
    const progress = await sandbox.push('orders', 'x').wait()
    assert.deepEqual(progress, { deliveries: 3, ending: 'ack', cause: { code: 'RangeError', text: 'too far' } })
    assert.deepEqual(attempts, [1, 2, 3])
  })
}

test('what a handler throws is the cause that a dead letter tells', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const documents = `${memory('orders', { maxDeliveryCount: 2, deadLetterBinding: 'letters' })}---\n${memory('letters')}`
  const client = await open(context, documents)
  const thrown = [
    new RangeError('too far'),
    'a text',
    new BindwrightError({ text: 'own', code: 'TIMEOUT', message: 'own', whatToDo: '' }),
  ]
  client.onBinding('orders', (event) => {
    throw thrown[Number(event.text())]
  })
  await client.start()
  for (const index of thrown.keys()) {
    assert.equal((await sandbox.push('orders', String(index)).wait()).ending, 'deadLetter')
  }
  const causes = sandbox
    .invocations('letters')
    .map(({ metadata }) => [metadata.deadLetterCode, metadata.deadLetterCause])
  assert.deepEqual(causes, [
    ['RangeError', 'too far'],
    ['string', 'a text'],
    ['TIMEOUT', 'own'],
  ])
})

test('outcomes say how an event ends', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const documents = `${memory('orders', { deadLetterBinding: 'letters' })}---\n${memory('letters')}---\n${memory('next')}`
  const client = await open(context, documents)
  const outcomes = {
    ack: Outcome.ack,
    drop: Outcome.drop,
    letter: Outcome.deadLetter(new RangeError('bad')),
    emit: Outcome.emit(
      { binding: 'next', data: { n: 1 }, metadata: { a: 'b' } },
      { binding: 'next', operation: 'create' },
    ),
    other: { anything: 'else' },
  }
  client.onBinding('orders', (event) => outcomes[event.text()])
  await client.start()
  const endings = []
  for (const name of Object.keys(outcomes)) endings.push((await sandbox.push('orders', name).wait()).ending)
  assert.deepEqual(endings, ['ack', 'drop', 'deadLetter', 'emit', 'ack'])
  assert.equal(sandbox.invocations('letters')[0].metadata.deadLetterCode, 'RangeError')
  const [first, second] = sandbox.invocations('next')
  assert.deepEqual([first.json(), first.metadata.a, second.text()], [{ n: 1 }, 'b', ''])
  assert.throws(() => Outcome.retry(-1), { code: 'INVALID_REQUEST' })
  assert.throws(() => Outcome.deadLetter(7), { code: 'INVALID_REQUEST' })
  assert.throws(() => Outcome.emit({}), { code: 'INVALID_REQUEST' })
})

test('an event that is settled by its method is not settled again by its handler', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const told = []
  client.onBinding('orders', (event) => {
    told.push(event.attempt === 1 ? event.retry(0) : event.drop(), event.ack())
    if (event.attempt === 1) throw new Error('too late')
  })
  await client.start()
  assert.deepEqual(await sandbox.push('orders', 'x').wait(), { deliveries: 2, ending: 'drop' })
  assert.deepEqual(told, [true, false, true, false])
})

test('bodies of any size and none reach their events, in any order', async (context) => {
  const client = await open(context)
  const sizes = [
    0,
    5,
    null,
    1,
    2048,
    2049,
    null,
    9000,
    9000,
    3,
    200_000,
    2000,
    2000,
    2000,
    2000,
    2000,
    2000,
    2000,
    2000,
    1,
  ]
  const bodies = sizes.map((size, place) => (size === null ? null : Buffer.alloc(size, 97 + place)))
  await send(client, ...bodies)
  const events = opened(context, client.events('orders'))
  const got = []
  for (const _ of bodies) got.push((await events.next()).value)
  const order = got.map((_, place) => place).sort((one, other) => ((one * 7) % 20) - ((other * 7) % 20))
  for (const place of order) assert.deepEqual(got[place].data, bodies[place], `event ${place}`)
  got[1].data.fill(0)
  assert.equal(got[4].data[0], 97 + 4)
  for (const event of got) assert.equal(event.ack(), true)
})

test('an event that failed takes those behind it back, however many were taken together', async (context) => {
  for (const fail of [
    () => {
      throw new Error('not yet')
    },
    (event) => void event.retry(0),
    () => Outcome.retry(0),
    async () => {
      await null
      throw new Error('not yet')
    },
  ]) {
    const client = await open(context)
    await send(client, ...'abcdefghijklmnopqrstuvwxyz')
    const seen = []
    client.onBinding('orders', (event) => {
      seen.push(event.text())
      if (event.attempt === 1 && 'ek'.includes(event.text())) return fail(event)
    })
    await client.start()
    await until('all are handled', () => seen.includes('z'))
    assert.equal(seen.join(''), 'abcdeefghijkklmnopqrstuvwxyz')
  }
})

test('events of a partition come one after the other, partitions in parallel', async (context) => {
  const client = await open(context, memory('orders', { partitions: 4 }))
  for (let count = 0; count < 40; count++) {
    await client.invokeBinding('orders', 'create', String(count), { metadata: { partitionKey: String(count % 4) } })
  }
  const running = new Map()
  let [most, handled] = [0, 0]
  client.onBinding('orders', async (event) => {
    const { key } = event.metadata
    assert.ok(!running.has(key), 'alone in its partition')
    running.set(key, true)
    most = Math.max(most, running.size)
    await new Promise((resolve) => setTimeout(resolve, 5))
    running.delete(key)
    handled++
  })
  await client.start()
  await until('all are handled', () => handled === 40)
  assert.ok(most > 1, `${most} at once`)
})

test('a handler of batches tells one outcome for all or one for each', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const pushed = ['a', 'b', 'c'].map((text) => sandbox.push('orders', text))
  const sizes = []
  client.onBinding(
    'orders',
    async (events) => {
      sizes.push(events.length)
      if (sizes.length === 1) return events.map((event) => (event.text() === 'b' ? Outcome.retry(0) : undefined))
      if (sizes.length === 2) return [Outcome.ack, Outcome.ack, Outcome.ack, Outcome.ack]
      return Outcome.drop
    },
    { batch: 10 },
  )
  await client.start()
  const endings = []
  for (const one of pushed) endings.push(await one.wait())
  assert.deepEqual(
    endings.map(({ ending }) => ending),
    ['ack', 'drop', 'ack'],
  )
  assert.equal(endings[1].deliveries, 3, 'a list of another length is a failure')
  assert.deepEqual(sizes, [3, 1, 1])
})

test('handlers keep the async context in which they were started, and none of each other', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const storage = new AsyncLocalStorage()
  const seen = []
  client.onBinding('orders', async () => {
    seen.push(storage.getStore())
    storage.enterWith('left behind')
    await null
    seen.push(storage.getStore())
  })
  await storage.run('mine', () => client.start())
  for (const text of ['a', 'b']) await sandbox.push('orders', text).wait()
  assert.deepEqual(seen, ['mine', 'left behind', 'mine', 'left behind'])
})

test('calls of a handler carry the trace of its event, unless they have their own', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context, `${memory('orders')}---\n${memory('next')}`)
  const [theirs, mine] = ['4bf92f3577b34da6a3ce929d0e0e4736', '5bf92f3577b34da6a3ce929d0e0e4736'].map(
    (trace) => `00-${trace}-00f067aa0ba902b7-01`,
  )
  client.onBinding('orders', async () => {
    await null
    await client.invokeBinding('next', 'create', 'x', { metadata: { a: 'b' } })
    await client.invokeBinding('next', 'create', 'x', { metadata: { traceparent: mine } })
    await client.invokeMany('next', 'create', ['x'])
  })
  await client.start()
  await sandbox.push('orders', 'x', { metadata: { traceparent: theirs, tracestate: 'v=1' } }).wait()
  await sandbox.push('orders', 'x').wait()
  const traces = sandbox.invocations('next').map(({ metadata }) => [metadata.traceparent, metadata.tracestate])
  assert.deepEqual(traces, [
    [theirs, 'v=1'],
    [mine, undefined],
    [theirs, 'v=1'],
    [undefined, undefined],
    [mine, undefined],
    [undefined, undefined],
  ])
})

test('handlers that never wait leave the loop its turns', async (context) => {
  const client = await open(context)
  await client.invokeMany(
    'orders',
    'create',
    Array.from({ length: 3000 }, () => 'x'),
  )
  let [handled, turns] = [0, 0]
  client.onBinding('orders', () => {
    handled++
    const until = performance.now() + 0.05
    while (performance.now() < until);
  })
  await client.start()
  const timer = setInterval(() => turns++, 1)
  await until('all are handled', () => handled === 3000)
  clearInterval(timer)
  assert.ok(turns > 5, `${turns} turns`)
})

test('acks are told while a later handler takes its time', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  const pushed = ['quick', 'slow'].map((text) => sandbox.push('orders', text))
  const gate = deferred()
  client.onBinding('orders', (event) => (event.text() === 'slow' ? gate.promise : undefined))
  await client.start()
  assert.equal((await pushed[0].wait()).ending, 'ack')
  assert.equal(pushed[1].progress.ending, undefined)
  gate.resolve()
  assert.equal((await pushed[1].wait()).ending, 'ack')
})

test('what cannot be a handler is refused', async (context) => {
  const client = await open(context)
  const refused = (text, ...given) =>
    assert.throws(() => client.onBinding(...given), { code: 'INVALID_OPTIONS', message: text })
  refused(/expected a name and a function/, 'orders')
  refused(/is a generator/, 'orders', function* () {})
  refused(/is a generator/, 'orders', async function* () {})
  refused(/batch: expected a whole number/, 'orders', () => 1, { batch: 0 })
  client.onBinding('orders', () => 1)
  refused(/has a handler already/, 'orders', () => 2)
  const other = await open(context)
  await assert.rejects(other.start(), { code: 'INVALID_OPTIONS' })
  other.onBinding('missing', () => 1)
  await assert.rejects(other.start(), { code: 'COMPONENT_NOT_FOUND' })
})

test('close in a handler is refused, and stop ends run', async (context) => {
  const client = await open(context)
  await send(client, 'x')
  const refusal = deferred()
  client.onBinding('orders', async () => {
    refusal.resolve(await client.close().catch((error) => error))
    client.stop()
  })
  await client.run()
  assert.match((await refusal.promise).message, /close\(\) in a handler/)
  await assert.rejects(client.invokeBinding('orders', 'size'), { code: 'CLOSED' })
})

test('close is refused to handlers that wait for it, however they do, and to no one else', async (context) => {
  const { prepareStackTrace } = Error
  const client = await open(context)
  const other = await open(context)
  const outcomes = {}
  const pause = () => new Promise((resolve) => setTimeout(resolve, 1))
  const closed = () =>
    client.close({ drainMs: 50 }).then(
      () => 'closed',
      (error) => error.code,
    )
  const ways = {
    later: async () => {
      await pause()
      return await closed()
    },
    chained: () => pause().then(closed),
    all: async () => {
      await pause()
      return (await Promise.all([pause(), closed()]))[1]
    },
    'another client': async () => {
      await pause()
      return other.close().then(() => 'closed')
    },
  }
  const done = deferred()
  client.onBinding('orders', async (event) => {
    outcomes[event.text()] = await ways[event.text()]()
    if (Object.keys(outcomes).length === 4) {
      // Nobody waits for what runs in a timer.
      setTimeout(() => closed().then(done.resolve), 1)
    }
  })
  await send(client, ...Object.keys(ways))
  await client.run()
  assert.equal(await done.promise, 'closed')
  const refused = 'INVALID_OPTIONS'
  assert.deepEqual(outcomes, { later: refused, chained: refused, all: refused, 'another client': 'closed' })
  assert.equal(Error.prepareStackTrace, prepareStackTrace)
})

test('close is refused to a handler of batches', async (context) => {
  const client = await open(context)
  const refusal = deferred()
  client.onBinding(
    'orders',
    async () => {
      await null
      refusal.resolve(await client.close().catch((error) => error))
      client.stop()
    },
    { batch: 10 },
  )
  await send(client, 'x')
  await client.run()
  assert.match((await refusal.promise).message, /close\(\) in a handler/)
})

test('closing with events in flight lets handlers finish, and what was not begun comes again', async (context) => {
  const path = folder(context, { 'a.yaml': memory('orders') })
  const client = await Client.open({ resources: path })
  const other = await Client.open({ resources: path })
  context.after(() => other.close())
  await send(client, 'first', 'second', 'third')
  const [begun, gate] = [deferred(), deferred()]
  const seen = []
  client.onBinding('orders', async (event) => {
    seen.push(event.text())
    begun.resolve()
    await gate.promise
    await client.invokeBinding('orders', 'size')
  })
  await client.start()
  await begun.promise
  const closing = client.close({ drainMs: 20_000 })
  await new Promise((resolve) => setTimeout(resolve, 20))
  gate.resolve()
  await closing
  assert.deepEqual(seen, ['first'])
  const rest = []
  for await (const event of other.events('orders')) {
    rest.push([event.text(), event.attempt])
    event.ack()
    if (rest.length === 2) break
  }
  assert.deepEqual(rest, [
    ['second', 1],
    ['third', 1],
  ])
})

test('closing does not wait longer than the drain, and a late outcome counts for nothing', async (context) => {
  const path = folder(context, { 'a.yaml': memory('orders') })
  const client = await Client.open({ resources: path })
  await send(client, 'x')
  const [begun, gate, late] = [deferred(), deferred(), deferred()]
  client.onBinding('orders', async (event) => {
    begun.resolve()
    await gate.promise
    late.resolve(event.ack())
  })
  await client.start()
  await begun.promise
  const began = performance.now()
  await client.close({ drainMs: 50 })
  assert.ok(performance.now() - began < 5000)
  gate.resolve()
  assert.equal(await late.promise, false)
  const other = opened(context, await Client.open({ resources: path }))
  for await (const event of other.events('orders')) {
    assert.equal(event.text(), 'x')
    break
  }
})

test('an iterator gives events one by one, and leaving the loop ends it', async (context) => {
  const client = await open(context)
  await send(client, 'a', 'b', 'c')
  const seen = []
  const events = client.events('orders')
  for await (const event of events) {
    seen.push(event.text())
    assert.equal(await event.ack(), true)
    if (seen.length === 2) break
  }
  assert.deepEqual(seen, ['a', 'b'])
  assert.deepEqual(await events.next(), { done: true, value: undefined })
  for await (const event of client.events('orders')) {
    assert.equal(event.text(), 'c', 'prefetched, and given back')
    break
  }
})

test('an event that an iterator retries comes before those behind it', async (context) => {
  const client = await open(context)
  await send(client, 'a', 'b')
  const events = opened(context, client.events('orders'))
  const first = (await events.next()).value
  assert.equal(first.retry(0), true)
  const again = (await events.next()).value
  assert.deepEqual([again.text(), again.attempt], ['a', 2])
  assert.equal((await events.next()).value.text(), 'b')
})

test('several callers of next take turns, and closing ends those that wait', async (context) => {
  const client = await open(context)
  const events = client.events('orders')
  const calls = [events.next(), events.next(), events.next()]
  await events.open()
  await send(client, 'a')
  const { value } = await calls[0]
  assert.deepEqual([value.text(), value.ack()], ['a', true])
  await events.close()
  assert.deepEqual(
    (await Promise.all(calls.slice(1))).map(({ done }) => done),
    [true, true],
  )
  const more = client.events('orders')
  const waiting = more.next()
  await more.open()
  await client.close()
  assert.equal((await waiting).done, true)
  await assert.rejects(client.events('orders').next(), { code: 'CLOSED' })
})

test('iterating an unknown binding fails with its code', async (context) => {
  const client = await open(context)
  await assert.rejects(client.events('missing').next(), { name: 'BindwrightError', code: 'COMPONENT_NOT_FOUND' })
})

test('events that a program forgets come again', async (context) => {
  const client = await open(context)
  await send(client, 'a', 'b')
  const events = client.events('orders')
  await (async () => {
    const event = (await events.next()).value
    assert.equal(event.text(), 'a')
    assert.equal((await events.next()).value.text(), 'b')
  })()
  const again = events.next()
  let found
  again.then((result) => {
    found = result.value
  })
  await collected('the batch is collected', () => found !== undefined)
  assert.deepEqual([found.text(), found.attempt], ['a', 1])
  await events.close()
})
