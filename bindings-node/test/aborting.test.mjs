// One signal for many calls, and what is no signal.
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Client } from '../dist/index.mjs'
import { Sandbox } from '../dist/testing.mjs'
import { ended, folder, memory, opened } from './fixture.mjs'

async function open(context) {
  const client = await Client.open({ resources: folder(context, { 'a.yaml': memory('orders') }) })
  context.after(() => client.close({ drainMs: 0 }))
  return client
}

test('one signal ends all its calls, and no others', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  sandbox.reply('orders', 'late', { delayMs: 200 })
  const [one, two] = [new AbortController(), new AbortController()]
  const calls = [one, two].map(({ signal }) =>
    Array.from({ length: 50 }, () => client.invokeBinding('orders', 'create', 'x', { signal })),
  )
  const many = client.invokeMany('orders', 'create', ['x'], { signal: one.signal })
  assert.equal(getEventListeners(one.signal, 'abort').length, 1)
  one.abort(new Error('enough'))
  for (const call of [...calls[0], many]) {
    await assert.rejects(call, (error) => error.code === 'CANCELLED' && error.cause.message === 'enough')
  }
  for (const call of calls[1]) assert.equal((await call).text(), 'late')
  for (const { signal } of [one, two]) assert.equal(getEventListeners(signal, 'abort').length, 0)
  // And once more, after it had no calls for a while.
  const again = client.invokeBinding('orders', 'create', 'x', { signal: two.signal })
  two.abort()
  await assert.rejects(again, { code: 'CANCELLED' })
})

test('a signal that came from others may have many calls without a warning', (context) => {
  const text = `new Sandbox().reply('orders', 'late', { delayMs: 50 }); const client = await Client.open({ resources })
    const signal = AbortSignal.any([new AbortController().signal])
    await Promise.all(Array.from({ length: 100 }, () => client.invokeBinding('orders', 'create', 'x', { signal })))`
  assert.deepEqual(ended(context, text), { status: 0, signal: null, stdout: '', stderr: '' })
})

test('what is no signal is refused before anything is sent', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const client = await open(context)
  for (const signal of [{}, new AbortController(), 'x', 5]) {
    const refused = { name: 'BindwrightError', code: 'INVALID_REQUEST', message: /signal: expected an AbortSignal/ }
    await assert.rejects(client.invokeBinding('orders', 'create', 'x', { signal }), refused)
    await assert.rejects(client.invokeMany('orders', 'create', ['x'], { signal }), refused)
    await assert.rejects(client.ready({ signal }), refused)
  }
  assert.equal(sandbox.invocations().length, 0)
  await client.invokeBinding('orders', 'create', 'x', { signal: null })
  await client.ready({ signal: null })
})
