// Handlers that throw or return what nobody expects: each event comes again, and nothing stands still.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, Outcome } from '../dist/index.mjs'
import { Sandbox } from '../dist/testing.mjs'
import { folder, memory, opened } from './fixture.mjs'

async function receiving(context, handler, options) {
  const sandbox = opened(context, new Sandbox())
  const client = await Client.open({ resources: folder(context, { 'a.yaml': memory('orders') }) })
  context.after(() => client.close({ drainMs: 0 }))
  client.onBinding('orders', handler, options)
  await client.start()
  return sandbox
}

const thrown = (value) => () => {
  throw value
}
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  throw proxy
}
const trap = {
  get() {
    throw new Error('nobody may look')
  },
}
const odd = {
  'an object without a prototype': [thrown(Object.create(null)), 'object', 'what was thrown has no text'],
  'a symbol': [thrown(Symbol('x')), 'symbol', 'Symbol(x)'],
  'an error whose message is an object': [
    thrown(Object.assign(new RangeError('x'), { message: { status: 404 } })),
    'RangeError',
    '[object Object]',
  ],
  'an error without a message': [thrown(Object.assign(new Error('x'), { message: undefined })), 'Error', 'undefined'],
  'an error whose name is a number': [thrown(Object.assign(new Error('x'), { name: 5 })), '5', 'x'],
  'an error that nobody may look at': [
    thrown(new Proxy(new Error('x'), trap)),
    'object',
    'what was thrown has no text',
  ],
  'a proxy that was revoked': [revoked, 'object', 'what was thrown has no text'],
  'an object whose class has no name': [thrown({ constructor: { name: 5 }, toString: () => 'text' }), 'object', 'text'],
}
for (const [what, [fail, code, text]] of Object.entries(odd)) {
  for (const options of [undefined, { batch: 10 }]) {
    test(`a handler throws ${what}${options === undefined ? '' : ', for a batch'}`, async (context) => {
      let calls = 0
      const sandbox = await receiving(context, () => (calls++ === 0 ? fail() : undefined), options)
      const ends = await sandbox.push('orders', 'x').wait({ deliveries: 1 })
      assert.deepEqual(ends.cause, { code, text })
      assert.equal((await sandbox.push('orders', 'y').wait({ deliveries: 1 })).deliveries, 1)
    })
  }
}

const mistaken = {
  'an object that throws when it is looked at': [() => new Proxy({}, trap), /nobody may look/],
  'a function that is a promise': [
    // biome-ignore lint/suspicious/noThenProperty: that is the case.
    () => Object.assign(() => undefined, { then: (_, reject) => reject(new Error('late')) }),
    /late/,
  ],
  'Outcome.retry itself': [() => Outcome.retry, /Outcome\.retry itself: call it/],
  'Outcome.deadLetter itself': [() => Outcome.deadLetter, /Outcome\.deadLetter itself: call it/],
  'Outcome.emit itself, later': [async () => Outcome.emit, /Outcome\.emit itself: call it/],
  'an outcome of another copy': [
    () =>
      new (class Outcome {
        told = { kind: 'retry' }
      })(),
    /an Outcome of another copy of bindwright/,
  ],
}
for (const [what, [answer, text]] of Object.entries(mistaken)) {
  test(`a handler returns ${what}`, async (context) => {
    let calls = 0
    const sandbox = await receiving(context, () => (calls++ === 0 ? answer() : undefined))
    const { ending, deliveries, cause } = await sandbox.push('orders', 'x').wait()
    assert.deepEqual([ending, deliveries], ['ack', 2])
    assert.match(cause.text, text)
  })
}

for (const handler of [async () => undefined, () => undefined]) {
  for (const options of [undefined, { batch: 3 }]) {
    test('events are handled and settled under fake timers', async (context) => {
      const sandbox = await receiving(context, handler, options)
      context.mock.timers.enable()
      context.after(() => context.mock.timers.reset())
      const pushed = Array.from({ length: 20 }, () => sandbox.push('orders', 'x'))
      for (const one of pushed) assert.equal((await one.wait()).ending, 'ack')
    })
  }
}

test('a handler that keeps the loop lets it have a turn under fake timers, too', async (context) => {
  const sandbox = await receiving(context, () => {
    const end = performance.now() + 6
    while (performance.now() < end);
  })
  context.mock.timers.enable()
  const pushed = Array.from({ length: 5 }, () => sandbox.push('orders', 'x'))
  for (const one of pushed) assert.equal((await one.wait()).ending, 'ack')
})
