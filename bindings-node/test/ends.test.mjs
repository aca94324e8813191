// How processes and threads end: what keeps them alive, signals, workers, garbage.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Client } from '../dist/index.mjs'
import { ended, folder, memory, until } from './fixture.mjs'

const DIST = join(import.meta.dirname, '..', 'dist')

const open = 'const client = await Client.open({ resources }); '
const well = {
  'an idle client does not keep the process alive': [
    `${open} await client.invokeBinding('orders', 'create'); console.log(1)`,
    '1\n',
  ],
  'a pending call does': [
    `new Sandbox().reply('orders', 'late', { delayMs: 300 })
    ${open} client.invokeBinding('orders', 'create').then((reply) => console.log(reply.text()))`,
    'late\n',
  ],
  'and once more after it was idle': [
    `const sandbox = new Sandbox(); ${open}
    await client.invokeBinding('orders', 'create')
    sandbox.reply('orders', 'late', { delayMs: 300 })
    await client.invokeBinding('orders', 'create')
    client.invokeBinding('orders', 'create').then((reply) => console.log(reply.text()))`,
    'late\n',
  ],
  'an aborted call does not': [
    `new Sandbox().reply('orders', 'late', { delayMs: 60_000 })
    ${open} client.invokeBinding('orders', 'create', 'x', { signal: AbortSignal.timeout(50), timeoutMs: 60_000 })
      .catch((error) => console.log(error.code, error.cause.name))
    setTimeout(() => undefined, 100)`,
    'CANCELLED TimeoutError\n',
  ],
  'handlers that were started do not': [
    `${open} client.onBinding('orders', () => console.log('handled')); await client.start(); console.log(1)`,
    '1\n',
  ],
  'somebody who waits for an event does': [
    `${open} setTimeout(() => client.invokeBinding('orders', 'create', 'x'), 100).unref()
    client.events('orders').next().then(({ value }) => console.log(value.text()))`,
    'x\n',
  ],
  'process.exit ends it in the middle of calls': [
    `new Sandbox().reply('orders', 'late', { delayMs: 60_000 }); ${open}
    for (let count = 0; count < 100; count++) client.invokeBinding('orders', 'create')
    client.events('orders').next(); client.onBinding('orders', () => 1); await client.start()
    console.log(1); process.exit(0)`,
    '1\n',
  ],
  'a handler that is never done does not keep run from ending': [
    `${open} await client.invokeBinding('orders', 'create', 'x')
    client.onBinding('orders', () => { client.stop(); return new Promise(() => undefined) })
    await client.run({ drainMs: 50 }); console.log('over')`,
    'over\n',
  ],
}
for (const [what, [text, stdout]] of Object.entries(well)) {
  test(what, (context) => {
    assert.deepEqual(ended(context, text), { status: 0, signal: null, stdout, stderr: '' })
  })
}

async function running(context, text) {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const head = `import { Client } from '${DIST}/index.mjs'; const client = await Client.open({ resources: '${resources}' });`
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  context.after(() => child.kill('SIGKILL'))
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (data) => {
    printed += data
  })
  const over = once(child, 'exit')
  return { child, over, printed: () => printed }
}

const slow = `client.onBinding('orders', async () => {
    console.log('begun'); await new Promise((resolve) => setTimeout(resolve, TIME)); console.log('ended') })
  await client.invokeBinding('orders', 'create', 'x'); await client.run({ drainMs: 60_000 }); console.log('over')`

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} lets run finish what it has begun`, async (context) => {
    const { child, over, printed } = await running(context, slow.replace('TIME', '300'))
    await until('it has begun', () => printed().includes('begun'))
    child.kill(signal)
    assert.deepEqual(await over, [0, null])
    assert.equal(printed(), 'begun\nended\nover\n')
  })
}

test('a second signal ends the program at once', async (context) => {
  const { child, over, printed } = await running(
    context,
    `${slow.replace('TIME', '60_000')}; process.on('SIGTERM', () => console.log('heard'))`,
  )
  await until('it has begun', () => printed().includes('begun'))
  child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 200))
  child.kill('SIGTERM')
  assert.deepEqual(await over, [null, 'SIGTERM'])
})

test('a second signal ends it also where the program listens itself', async (context) => {
  const { child, over, printed } = await running(
    context,
    `process.on('SIGTERM', () => console.log('heard')); ${slow.replace('TIME', '60_000')}`,
  )
  await until('it has begun', () => printed().includes('begun'))
  child.kill('SIGTERM')
  await until('the program heard', () => printed().includes('heard'))
  child.kill('SIGTERM')
  assert.deepEqual(await over, [null, 'SIGTERM'])
})

test('a second signal ends the first process of a container, which signals do not end', async (context) => {
  const isolated = ['--user', '--map-root-user', '--pid', '--fork', '--kill-child']
  if (spawnSync('unshare', [...isolated, 'true']).status !== 0) {
    context.skip('this machine makes no process namespaces')
    return
  }
  const text = `client.onBinding('orders', async () => {
      process.kill(process.pid, 'SIGTERM')
      setTimeout(() => process.kill(process.pid, 'SIGTERM'), 300)
      await new Promise((resolve) => setTimeout(resolve, 60_000))
    })
    await client.invokeBinding('orders', 'create', 'x'); await client.run({ drainMs: 60_000 })`
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const head = `import { Client } from '${DIST}/index.mjs'; const client = await Client.open({ resources: '${resources}' });`
  const { status } = spawnSync('unshare', [...isolated, process.execPath, '--input-type=module', '-e', head + text], {
    timeout: 60_000,
  })
  assert.equal(status, 143)
})

function worker(text, resources) {
  const head = `const { Client } = require('${DIST}/index.js'); const { parentPort } = require('node:worker_threads');`
  const body = `(async () => { const client = await Client.open({ resources: ${JSON.stringify(resources)} }); ${text} })()`
  return new Worker(head + body, { eval: true })
}

test('each worker thread may open a client', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const client = await Client.open({ resources })
  const workers = Array.from({ length: 4 }, () =>
    worker(
      `for (let round = 0; round < 20; round++)
        await Promise.all(Array.from({ length: 50 }, () => client.invokeBinding('orders', 'create', 'x')));
      await client.close(); parentPort.postMessage('done')`,
      resources,
    ),
  )
  const codes = await Promise.all(workers.map(async (one) => (await once(one, 'exit'))[0]))
  assert.deepEqual(codes, [0, 0, 0, 0])
  assert.equal((await client.invokeBinding('orders', 'size')).text(), '4000')
  await client.close()
})

test('a worker may be terminated in the middle of calls and events, and another one opened', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders', { partitions: 4 }) })
  for (let round = 0; round < 5; round++) {
    const one = worker(
      `client.onBinding('orders', async () => { await new Promise((resolve) => setTimeout(resolve, 1)) });
      await client.start(); parentPort.postMessage('begun');
      for (;;) await Promise.all(Array.from({ length: 50 }, () => client.invokeBinding('orders', 'create', 'x')))`,
      resources,
    )
    await once(one, 'message')
    await new Promise((resolve) => setTimeout(resolve, 30))
    await one.terminate()
  }
  const client = await Client.open({ resources })
  assert.ok(Number((await client.invokeBinding('orders', 'size')).text()) > 0)
  await client.close()
})

test('a library that only a worker loaded stays when the worker has ended', (context) => {
  const text = `const { Worker } = require('node:worker_threads')
    const open = "require('${DIST}/index.js').Client.open({ resources: '" + RESOURCES + "' })"
    const end = async () => {
      for (let round = 0; round < 3; round++) {
        const call = open + ".then((client) => client.invokeBinding('orders', 'create', 'x'))"
        await new Promise((resolve) => new Worker(call, { eval: true }).on('exit', resolve))
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
      console.log('still here')
    }
    end()`
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', `const RESOURCES = '${resources}'; ${text}`], {
    encoding: 'utf8',
  })
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'still here\n', stderr: '' })
})

test('a machine is looked at without asking for the names of hosts, and only where a native part is missing', (context) => {
  const path = folder(context, {})
  cpSync(DIST, join(path, 'node_modules', 'bindwright', 'dist'), { recursive: true })
  const text = `const { getReport } = process.report
    process.report.getReport = () => { console.log(process.report.excludeNetwork); return getReport.call(process.report) }
    try { console.log(typeof require('./node_modules/bindwright/dist/index.js').Client) } catch { console.log('missing') }
    console.log(process.report.excludeNetwork)`
  const said = () => spawnSync(process.execPath, ['-e', text], { cwd: path, encoding: 'utf8' }).stdout
  const isOurs = process.platform === 'linux' && process.arch === 'x64'
  assert.equal(said(), isOurs ? 'true\nmissing\nfalse\n' : 'missing\nfalse\n')
  const own = join(path, 'node_modules', 'bindwright-linux-x64-gnu')
  mkdirSync(own)
  symlinkSync(join(DIST, '..', 'bindwright.node'), join(own, 'index.node'))
  writeFileSync(join(own, 'package.json'), '{"main": "index.node"}')
  assert.equal(said(), isOurs ? 'function\nfalse\n' : 'missing\nfalse\n')
})
