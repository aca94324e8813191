// Through a sidecar: the same client, in another place.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Client, Outcome } from '../dist/index.mjs'
import { component, deferred, folder, memory, until } from './fixture.mjs'
import { besides, freePort, Sidecar, WAYS } from './sidecar.mjs'

const SECRET = 'hunter2-and-a-half'
const INDEX = JSON.stringify(new URL('../dist/index.mjs', import.meta.url).href)

async function open(context, options) {
  const client = await Client.open(options)
  context.after(() => client.close({ drainMs: 0 }))
  return client
}

/** A sidecar with the queue `orders`, and a client of it. */
async function beside(context, way, given = {}, options = {}) {
  const resources = folder(context, { 'a.yaml': memory('orders'), ...given.files })
  const sidecar = await besides(context, resources, { appProtocol: way.replace('sidecar-', ''), ...given })
  return { sidecar, client: await open(context, { ...sidecar.options(way), ...options }) }
}

/** A server of a sidecar's protocol that takes calls and never answers; tells when a call ended. */
async function silent(context, way) {
  const asked = deferred()
  const ended = deferred()
  const server = way === 'sidecar-grpc' ? createHttp2() : createHttp()
  server.on('stream', (stream) => {
    stream.on('error', () => undefined).on('close', () => ended.resolve())
    asked.resolve()
  })
  server.on('request', (request) => {
    request.on('error', () => undefined)
    request.socket?.on('close', () => ended.resolve())
    asked.resolve()
  })
  const sessions = new Set()
  server.on('session', (session) => sessions.add(session)).on('connection', (socket) => sessions.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  const place = `127.0.0.1:${server.address().port}`
  const sidecarEndpoint = way === 'sidecar-grpc' ? place : `http://${place}`
  return { asked: asked.promise, ended: ended.promise, options: { transport: way, sidecarEndpoint } }
}

for (const way of WAYS) {
  describe(way, () => {
    test('calls, their replies, and what there is', async (context) => {
      const { client } = await beside(context, way)
      assert.equal(client.transport, way)
      await client.ready({ timeoutMs: 10_000 })
      const reply = await client.invokeBinding('orders', 'create', { id: 1 }, { metadata: { partitionKey: 'a' } })
      assert.deepEqual([reply.data, reply.metadata.position], [null, '0'])
      assert.equal((await client.invokeBinding('orders', 'size')).json(), 1)
      const [orders] = await client.components()
      assert.deepEqual(
        [orders.name, orders.type, orders.input, orders.output],
        ['orders', 'bindings.memory', true, true],
      )
      assert.deepEqual(client.faults(), [])
      await assert.rejects(client.invokeBinding('missing', 'create'), {
        code: 'COMPONENT_NOT_FOUND',
        component: 'missing',
      })
      await assert.rejects(client.invokeBinding('orders', 'no-such'), { code: 'UNSUPPORTED_OPERATION' })
      const unfit = { code: 'INVALID_OPTIONS' }
      assert.throws(() => client.addComponent(memory('more')), unfit)
      assert.throws(() => client.removeComponent('orders'), unfit)
      await assert.rejects(client.reload(), unfit)
    })

    test('events of a handler: acked, tried again, emitted, in batches', async (context) => {
      const files = { 'b.yaml': memory('next') }
      const { client } = await beside(context, way, { files })
      const seen = []
      client.onBinding('orders', (event) => {
        seen.push([event.json(), event.attempt])
        if (seen.length === 1) throw new Error('again')
        return Outcome.emit({ binding: 'next', data: { of: '<é>', a: event.json() }, metadata: { name: 'text' } })
      })
      const after = []
      client.onBinding('next', (events) => void after.push(...events), { batch: 10 })
      await client.start()
      await client.invokeBinding('orders', 'create', 7)
      await until('both came', () => after.length === 1)
      assert.deepEqual(seen, [
        [7, 1],
        [7, 2],
      ])
      assert.deepEqual([after[0].json(), after[0].metadata.name], [{ of: '<é>', a: 7 }, 'text'])
      await until('both are settled', async () => {
        const sizes = await Promise.all(['orders', 'next'].map((name) => client.invokeBinding(name, 'size')))
        return sizes.every((size) => size.json() === 0)
      })
    })

    test('a token that is wrong, and one that is right', async (context) => {
      const { sidecar, client } = await beside(
        context,
        way,
        { variables: { DAPR_API_TOKEN: SECRET } },
        { sidecarToken: `wrong-${SECRET}` },
      )
      const refused = await client.invokeBinding('orders', 'create', 1).catch((error) => error)
      assert.equal(refused.code, 'UNAUTHENTICATED')
      await assert.rejects(client.components(), { code: 'UNAUTHENTICATED' })
      const known = await open(context, { ...sidecar.options(way), sidecarToken: SECRET, appToken: SECRET })
      await known.invokeBinding('orders', 'create', 1)
      for (const shown of [client, known, refused]) {
        assert.ok(!inspect(shown, { showHidden: true, depth: Number.POSITIVE_INFINITY }).includes(SECRET))
      }
      const badly = await Client.open({ ...sidecar.options(way), sidecarToken: `${SECRET}\n` }).catch((error) => error)
      assert.equal(badly.code, 'INVALID_OPTIONS')
      assert.ok(!inspect(badly).includes(SECRET))
    })

    test('events without the right token are refused', async (context) => {
      const { client } = await beside(context, way, { variables: { APP_API_TOKEN: SECRET } }, { appToken: SECRET })
      const { client: other } = await beside(context, way, {}, { appToken: SECRET })
      for (const [one, comes] of [
        [client, true],
        [other, false],
      ]) {
        const events = one.events('orders')
        await events.open()
        await one.invokeBinding('orders', 'create', 1)
        const first = events.next().then(({ value }) => value?.ack())
        const late = new Promise((resolve) => setTimeout(resolve, comes ? 20_000 : 1500, 'nothing').unref())
        assert.equal(await Promise.race([first, late]), comes ? true : 'nothing')
        await events.close()
      }
    })

    test('a sidecar that starts later is waited for', async (context) => {
      const resources = folder(context, { 'a.yaml': memory('orders') })
      const port = await freePort()
      const sidecarEndpoint = way === 'sidecar-grpc' ? `127.0.0.1:${port}` : `http://127.0.0.1:${port}`
      const client = await open(context, { transport: way, sidecarEndpoint })
      await assert.rejects(client.invokeBinding('orders', 'create', 1, { timeoutMs: 100 }), { code: 'UNAVAILABLE' })
      const ready = client.ready({ timeoutMs: 60_000 })
      const calls = Promise.all([1, 2, 3].map((id) => client.invokeBinding('orders', 'create', { id })))
      await besides(context, resources, { ports: { [way.replace('sidecar-', '')]: port } })
      assert.equal((await calls).length, 3)
      await ready
      assert.equal((await client.invokeBinding('orders', 'size')).json(), 3)
    })

    test('an AbortSignal and a timeout end the call at the sidecar', async (context) => {
      for (const ends of ['signal', 'timeout']) {
        const { asked, ended, options } = await silent(context, way)
        const client = await open(context, options)
        const controller = new AbortController()
        const given = ends === 'signal' ? { signal: controller.signal, timeoutMs: 120_000 } : { timeoutMs: 1000 }
        const call = client.invokeBinding('orders', 'create', 1, given).catch((error) => error)
        await asked
        controller.abort()
        assert.equal((await call).code, ends === 'signal' ? 'CANCELLED' : 'OUTCOME_UNKNOWN')
        await ended
      }
    })

    test('without a port of its own, or with one that is taken, a client receives nothing', async (context) => {
      const { sidecar, client } = await beside(context, way)
      const { appPort: _, ...without } = sidecar.options(way)
      const none = await open(context, without)
      await assert.rejects(none.events('orders').open(), { code: 'INVALID_OPTIONS', message: /APP_PORT/ })
      const events = client.events('orders')
      await events.open()
      const second = await open(context, sidecar.options(way))
      second.onBinding('orders', () => undefined)
      await assert.rejects(second.start(), { code: 'INVALID_OPTIONS', message: new RegExp(`port ${sidecar.appPort}`) })
      await second.invokeBinding('orders', 'create', 1)
      assert.equal((await events.next()).value.json(), 1)
      await client.close({ drainMs: 0 })
      // The port is free again, and what was not settled comes again.
      await second.start()
    })

    test('a message over the limit goes neither way', async (context) => {
      const flags = ['--max-body-size', '8Mi']
      const { sidecar, client } = await beside(context, way, { flags })
      const large = 'x'.repeat(5 * 2 ** 20)
      const tooLarge = { code: 'PAYLOAD_TOO_LARGE' }
      await assert.rejects(client.invokeBinding('orders', 'create', { large }), tooLarge)
      const small = await open(context, { ...sidecar.options(way), maxMessageSize: 60 })
      await assert.rejects(small.components(), tooLarge)
      const more = await open(context, { ...sidecar.options(way), maxMessageSize: 8 * 2 ** 20 })
      const events = more.events('orders')
      await events.open()
      await more.invokeBinding('orders', 'create', { large })
      const { value } = await events.next()
      assert.equal(value.json().large.length, large.length)
      value.ack()
    })

    test('closing waits for handlers, and what they did not finish comes again', async (context) => {
      const { sidecar, client } = await beside(context, way)
      const begun = deferred()
      const release = deferred()
      client.onBinding('orders', async () => {
        begun.resolve()
        await release.promise
      })
      await client.start()
      await client.invokeBinding('orders', 'create', 1)
      await begun.promise
      const closing = client.close()
      release.resolve()
      await closing
      const next = await open(context, sidecar.options(way))
      // The answer is on its way to the sidecar.
      await until('it is settled', async () => (await next.invokeBinding('orders', 'size')).json() === 0)
      const stuck = deferred()
      next.onBinding('orders', () => {
        stuck.resolve()
        return new Promise(() => undefined)
      })
      await next.start()
      await next.invokeBinding('orders', 'create', 2)
      await stuck.promise
      await next.close({ drainMs: 50 })
      const last = await open(context, sidecar.options(way))
      const { value } = await last.events('orders').next()
      assert.equal(value.json(), 2)
      value.ack()
    })

    test('worker threads have clients of their own, and may be terminated', async (context) => {
      const { sidecar, client } = await beside(context, way)
      const text = `
        import { Client } from ${INDEX}
        import { parentPort, workerData } from 'node:worker_threads'
        const client = await Client.open(workerData)
        client.onBinding('orders', (event) => {
          parentPort.postMessage(event.json())
          return event.json() === 2 ? new Promise(() => undefined) : undefined
        })
        await client.start()
        await client.invokeBinding('orders', 'create', 1)
        parentPort.on('message', () => undefined)`
      const url = new URL(`data:text/javascript,${encodeURIComponent(text)}`)
      const worker = new Worker(url, { workerData: sidecar.options(way) })
      context.after(() => worker.terminate())
      assert.deepEqual(await once(worker, 'message'), [1])
      const second = once(worker, 'message')
      await client.invokeBinding('orders', 'create', 2)
      assert.deepEqual(await second, [2])
      await worker.terminate()
      // Its port is given back, and its event comes to another.
      const events = client.events('orders')
      await until('the port is free', () =>
        events.open().then(
          () => true,
          () => false,
        ),
      )
      assert.equal((await events.next()).value.json(), 2)
    })

    test('the environment chooses it, and says where it is', async (context) => {
      const { sidecar } = await beside(context, way)
      const ask = `import { Client } from ${INDEX}
        const client = await Client.open()
        await client.invokeBinding('orders', 'create', { id: 1 })
        console.log(client.transport)
        await client.close()`
      const port = (address) => address.split(':').at(-1)
      const both = { DAPR_GRPC_PORT: port(sidecar.grpc), DAPR_HTTP_PORT: port(sidecar.http) }
      for (const variables of [
        { ...both, BINDWRIGHT_TRANSPORT: way },
        way === 'sidecar-grpc' ? both : { DAPR_HTTP_PORT: both.DAPR_HTTP_PORT },
      ]) {
        const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', ask], {
          encoding: 'utf8',
          env: { ...process.env, ...variables },
        })
        assert.equal(stdout, `${way}\n`, stderr)
      }
    })
  })
}

test('over HTTP values pass as JSON, and bytes and text only as they are', async (context) => {
  const { client } = await beside(context, 'sidecar-http')
  const values = [{ b: 1, a: '<é\u2028>' }, [1.5, null], 'x', 0, false]
  const events = client.events('orders')
  await events.open()
  const arrives = async (expected) => {
    const { value } = await events.next()
    value.ack()
    assert.deepEqual(value.json(), expected)
  }
  for (const value of values.filter((one) => typeof one !== 'string')) {
    await client.invokeBinding('orders', 'create', value)
    await arrives(value)
  }
  await client.invokeBinding('orders', 'create', Buffer.from('{"a":1}'))
  await arrives({ a: 1 })
  await client.invokeBinding('orders', 'create', '"text"')
  await arrives('text')
  const refused = { code: 'INVALID_REQUEST', message: /sidecar-grpc/ }
  for (const data of ['text', '{"b":1,"a":2}', '{"a": 1}', Buffer.from([255]), new Uint8Array([49, 32])]) {
    await assert.rejects(client.invokeBinding('orders', 'create', data), refused)
  }
  const mixed = [{ b: 1, a: '<' }, 'text', 2, Buffer.from('3')]
  const results = await client.invokeMany('orders', 'create', mixed)
  assert.deepEqual(
    results.map((result) => result.code),
    [undefined, 'INVALID_REQUEST', undefined, undefined],
  )
})

test('over gRPC bytes and text arrive as they are, also long ones', async (context) => {
  const { client } = await beside(context, 'sidecar-grpc')
  const events = client.events('orders')
  await events.open()
  for (const data of ['text', Buffer.from([255, 0]), '', '{"b": 1, "a":2}']) {
    await client.invokeBinding('orders', 'create', data)
    const { value } = await events.next()
    value.ack()
    assert.deepEqual(value.data, Buffer.from(data))
  }
})

test('values of every length are written whole', async (context) => {
  const client = await open(context, { resources: folder(context, { 'a.yaml': memory('orders') }) })
  const events = client.events('orders')
  for (const character of ['x', 'é', '€', '😀']) {
    const size = Buffer.byteLength(character)
    const around = Array.from({ length: 12 }, (_, more) => Math.floor(1024 / size) - 6 + more)
    for (const count of [0, 1, ...around, 100_000]) {
      const text = character.repeat(count)
      await client.invokeBinding('orders', 'create', [text])
      const { value } = await events.next()
      value.ack()
      assert.equal(value.text(), JSON.stringify([text]), `${character} ${count}`)
    }
  }
})

test('a sidecar that is killed and started again is used again', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const first = await besides(context, resources)
  const ports = { http: first.http.split(':').at(-1), grpc: first.grpc.split(':').at(-1) }
  const clients = await Promise.all(WAYS.map((way) => open(context, first.options(way))))
  for (const client of clients) await client.invokeBinding('orders', 'create', 1)
  await first.end('SIGKILL')
  // Whoever has not noticed yet that a connection ended would send on it, and not know what became of the call.
  await Promise.all(clients.map((client) => assert.rejects(client.ready({ timeoutMs: 100 }), { code: 'UNAVAILABLE' })))
  const calls = clients.map((client) => client.invokeBinding('orders', 'create', 2))
  const second = await Sidecar.start(resources, { ports })
  context.after(() => second.end('SIGKILL'))
  await Promise.all(calls)
})

test('a component that fails tells its code through the sidecar', async (context) => {
  const failing = component('failing', 'bindings.memory', { failures: 'UNAVAILABLE, INVALID_REQUEST, BACKEND_ERROR' })
  for (const way of WAYS) {
    const { client } = await beside(context, way, { files: { 'c.yaml': failing } })
    for (const code of ['UNAVAILABLE', 'INVALID_REQUEST', 'BACKEND_ERROR']) {
      await assert.rejects(client.invokeBinding('failing', 'create', 1), { code, component: 'failing' })
    }
  }
})
