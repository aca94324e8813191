// The names of Dapr's SDK.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { CommunicationProtocolEnum, DaprClient, DaprServer } from '../dist/dapr.mjs'
import { Answer, Sandbox } from '../dist/testing.mjs'
import { folder, memory, opened, until } from './fixture.mjs'
import { besides, freePort } from './sidecar.mjs'

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

/** A program of a user of the SDK, but for its import; what it printed. */
function usersProgram(context, made, variables, files = {}) {
  const dapr = JSON.stringify(new URL('../dist/dapr.mjs', import.meta.url).href)
  const text = `import { CommunicationProtocolEnum, DaprClient, DaprServer } from ${dapr}
    ${made}
    const seen = new Promise((resolve) => server.binding.receive('orders', async (data) => resolve(data)))
    await server.start()
    await client.binding.send('orders', 'create', { text: '<é>' })
    await client.binding.send('texts', 'create', '<é>')
    console.log(JSON.stringify([(await client.open()).transport, await seen]))
    await client.stop()
    await server.stop()`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    cwd: folder(context, files),
    encoding: 'utf8',
    env: { ...process.env, ...variables },
    timeout: 60_000,
  })
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout)
}

const BARE = 'const [server, client] = [new DaprServer(), new DaprClient()]'
const GRPC = `const communicationProtocol = CommunicationProtocolEnum.GRPC
  const server = new DaprServer({ communicationProtocol, clientOptions: { daprHost: '127.0.0.1' } })
  const client = new DaprClient({ communicationProtocol })`
const DATA = { text: '<é>' }

test('where the environment names a sidecar, everything goes through it', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders'), 'b.yaml': memory('texts') })
  for (const [protocol, made] of [
    ['http', BARE],
    ['grpc', GRPC],
  ]) {
    const sidecar = await besides(context, resources, {
      appProtocol: protocol,
      variables: { DAPR_API_TOKEN: 'of-the-sidecar' },
    })
    const port = (address) => address.split(':').at(-1)
    const variables = {
      DAPR_HTTP_PORT: port(sidecar.http),
      DAPR_GRPC_PORT: port(sidecar.grpc),
      DAPR_API_TOKEN: 'of-the-sidecar',
      APP_PORT: String(sidecar.appPort),
    }
    assert.deepEqual(usersProgram(context, made, variables), [`sidecar-${protocol}`, DATA])
    // What the program says stands before what the environment says.
    const given = `const communicationProtocol = CommunicationProtocolEnum.${protocol.toUpperCase()}
      const daprPort = '${port(sidecar[protocol])}'
      const clientOptions = { daprHost: '127.0.0.1', daprPort, daprApiToken: 'of-the-sidecar', maxBodySizeMb: 1 }
      const server = new DaprServer({ serverPort: '${sidecar.appPort}', communicationProtocol, clientOptions })
      const client = new DaprClient({ ...clientOptions, communicationProtocol })`
    const wrong = { DAPR_HTTP_PORT: '1', DAPR_GRPC_ENDPOINT: '127.0.0.1:1', DAPR_API_TOKEN: 'no', APP_PORT: '1' }
    assert.deepEqual(usersProgram(context, given, wrong), [`sidecar-${protocol}`, DATA])
    await sidecar.end()
  }
})

test('where it names none, everything is in the process, whatever hosts and ports say', async (context) => {
  const files = { 'components.yaml': `${memory('orders')}---\n${memory('texts')}` }
  const port = await freePort()
  const given = `const clientOptions = { daprHost: '127.0.0.1', daprPort: '${port}', daprApiToken: 'a' }
    const server = new DaprServer({ serverPort: '${port}', clientOptions })
    const client = new DaprClient(clientOptions)`
  const variables = { BINDWRIGHT_RESOURCES: 'components.yaml' }
  assert.deepEqual(usersProgram(context, given, variables, files), ['embedded', DATA])
  const named = { ...variables, BINDWRIGHT_TRANSPORT: 'embedded', DAPR_HTTP_PORT: '1' }
  assert.deepEqual(usersProgram(context, BARE, named, files), ['embedded', DATA])
})

test('logs do not show what a client was told, and a port is a number', async () => {
  const daprApiToken = 'hunter2-and-a-half'
  const bindwright = { transport: 'sidecar-http', sidecarToken: daprApiToken }
  const server = new DaprServer({ serverPort: 'x', clientOptions: { daprApiToken, bindwright } })
  assert.equal(server.client.options.daprApiToken, daprApiToken)
  assert.ok(!inspect(server, { showHidden: true, depth: 9 }).includes(daprApiToken))
  await assert.rejects(server.start(), { code: 'INVALID_OPTIONS', message: /serverPort: expected a port, got x/ })
})
