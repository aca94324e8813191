// What the boundary must be able to do: open, invoke, receive, settle, an error with its code, close, exit.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { DevBroker, NativeClient, component } from './component.mjs'

test('a record goes out, comes back as an event and is settled', async () => {
  const broker = DevBroker.start(0)
  const client = NativeClient.open(component(broker))
  const subscription = await client.subscribe('orders')

  const reply = await client.invoke('orders', 'create', Buffer.from('{"orderId":1}'), { partitionKey: '1' })
  assert.equal(reply.metadata.offset, '0')

  assert.equal(await subscription.ready(30_000), true)
  const batch = subscription.takeBatch(10)
  assert.equal(batch.length, 1)
  assert.equal(batch.data(0).toString(), '{"orderId":1}')
  assert.equal(batch.settle([{ index: 0, outcome: 'ack' }]), 1)

  const crowd = Array.from({ length: 256 }, () => client.invoke('orders', 'create', Buffer.from('2'), null))
  assert.equal(new Set(await Promise.all(crowd)).size, 256)

  await assert.rejects(client.invoke('missing', 'create', null, null),
    { name: 'BindwrightError', code: 'COMPONENT_NOT_FOUND', component: 'missing', retriable: false })
  assert.throws(() => NativeClient.open('/nowhere'), { code: 'INVALID_OPTIONS' })

  const ended = subscription.ready(null)
  await client.close()
  assert.equal(await ended, true)
  assert.equal(subscription.takeBatch(10), null)
  broker.stop()
})

const start = `import { DevBroker, NativeClient, component } from './component.mjs'
  const broker = globalThis.broker = DevBroker.start(0)
  const client = NativeClient.open(component(broker))
  const subscription = await client.subscribe('orders')
  await client.invoke('orders', 'create', Buffer.from('1'), null)
  `
const endings = {
  'after its last event': 'await subscription.ready(30000); console.log(subscription.takeBatch(1).length)',
  'by process.exit, with promises open':
    'subscription.ready(null); client.invoke("orders", "create", null, null); console.log(1); process.exit(0)',
}
for (const [ending, program] of Object.entries(endings)) {
  test(`a program that forgets to close its client ends well ${ending}`, () => {
    const options = { cwd: import.meta.dirname, input: start + program, encoding: 'utf8', timeout: 60_000 }
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module'], options)
    assert.deepEqual({ status, signal, stdout, stderr }, { status: 0, signal: null, stdout: '1\n', stderr: '' })
  })
}
