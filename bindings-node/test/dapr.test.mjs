// The names of Dapr's SDK.
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CommunicationProtocolEnum, DaprClient, DaprServer } from '../dist/dapr.mjs'
import { Answer, Sandbox } from '../dist/testing.mjs'
import { folder, memory, opened, until } from './fixture.mjs'

test('what the SDK sends and receives', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const bindwright = { resources }
  const server = new DaprServer({ serverHost: '127.0.0.1', serverPort: '5051', clientOptions: { bindwright } })
  const seen = []
  await server.binding.receive('orders', async (data) => {
    if (seen.push(data) === 1) throw new Error('again')
  })
  await server.start()
  const client = new DaprClient({ daprHost: '127.0.0.1', daprPort: '3500', bindwright })
  assert.equal(await client.binding.send('orders', 'create', { id: 1 }, { partitionKey: 'a' }), '')
  for (const data of ['text', Buffer.from('bytes'), 7]) await client.binding.send('orders', 'create', data)
  await until('all came', () => seen.length === 5)
  assert.deepEqual(seen, [{ id: 1 }, { id: 1 }, 'text', 'bytes', 7])
  assert.equal(await client.binding.send('orders', 'size'), 0)
  await client.stop()
  await server.stop()
})

test('a string has its quotes on the way, as through a sidecar', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const client = new DaprClient('localhost', '3500', CommunicationProtocolEnum.HTTP, { bindwright: { resources } })
  assert.deepEqual([client.options.daprHost, client.getIsInitialized()], ['localhost', false])
  await client.binding.send('orders', 'create', 'text')
  assert.equal(sandbox.invocations()[0].text(), '"text"')
  sandbox.reply('orders', { a: 1 })
  assert.deepEqual(await client.binding.send('orders', 'create'), { a: 1 })
  await client.stop()
})

test('with GRPC a string is sent as it is, and the reply is an object, as with the SDK', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const bindwright = { resources: folder(context, { 'a.yaml': memory('orders') }) }
  sandbox.reply('orders', new Answer('text', { a: 'b' }), { times: 1 })
  const communicationProtocol = CommunicationProtocolEnum.GRPC
  const server = new DaprServer({ communicationProtocol, clientOptions: { bindwright } })
  for (const client of [new DaprClient({ communicationProtocol, bindwright }), server.client]) {
    const { data, metadata, operation } = await client.binding.send('orders', 'create', 'text')
    assert.ok(data instanceof Uint8Array)
    const first = client !== server.client
    assert.deepEqual(
      [Buffer.from(data).toString(), metadata, operation],
      first ? ['text', { a: 'b' }, 'create'] : ['', {}, 'create'],
    )
    for (const payload of [0, '', Buffer.from('bytes'), { id: 1 }]) {
      await client.binding.send('orders', 'create', payload)
    }
    await client.stop()
  }
  const texts = sandbox.invocations().map((one) => one.text())
  assert.deepEqual(texts, ['text', '', '', 'bytes', '{"id":1}', 'text', '', '', 'bytes', '{"id":1}'])
})

test('a server starts without callbacks, which may come later', async (context) => {
  const sandbox = opened(context, new Sandbox())
  const bindwright = { resources: folder(context, { 'a.yaml': memory('orders') }) }
  const server = new DaprServer({ clientOptions: { bindwright } })
  await server.start()
  await server.binding.receive('orders', () => undefined)
  assert.equal((await sandbox.push('orders', 'x').wait()).ending, 'ack')
  await server.stop()
})

test('a client that could not be opened can be tried again and stopped', async (context) => {
  const resources = folder(context, {})
  rmSync(resources, { recursive: true })
  const client = new DaprClient({ bindwright: { resources } })
  await assert.rejects(client.start(), { code: 'INVALID_OPTIONS' })
  assert.equal(client.getIsInitialized(), false)
  await client.stop()
  mkdirSync(resources)
  writeFileSync(join(resources, 'a.yaml'), memory('orders'))
  await client.binding.send('orders', 'create', 1)
  await client.stop()
})

test('older constructors work, and what is no binding says so', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const options = { bindwright: { resources } }
  const server = new DaprServer('127.0.0.1', '5051', '127.0.0.1', '3500', CommunicationProtocolEnum.HTTP, options)
  await server.binding.receive('orders', () => undefined)
  await server.start()
  await server.stop()
  assert.throws(() => server.pubsub, { code: 'INVALID_OPTIONS', message: /bindings only/ })
  assert.throws(() => new DaprClient().state, { code: 'INVALID_OPTIONS' })
})
