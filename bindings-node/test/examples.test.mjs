// The command, and the programs of `examples/orders`, against the broker of the command.
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { folder, until } from './fixture.mjs'
import { createTopic, kafka, missingKafka } from './kafka.mjs'
import { COMMAND, freePort, WAYS } from './sidecar.mjs'

const PACKAGE = join(import.meta.dirname, '..')
// Asked for first: nothing may be awaited after a test has been named.
const skip = await missingKafka()
const ORDERS = join(PACKAGE, '..', 'examples', 'orders')

function begin(context, program, given, options = {}) {
  const child = spawn(process.execPath, [program, ...given], { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  context.after(() => child.kill('SIGKILL'))
  const lines = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  // Not `exit`, after which lines may still come.
  return { child, lines, over: once(child, 'close') }
}

test('the command answers with its exit status', () => {
  const run = (...given) => spawnSync(process.execPath, [COMMAND, ...given], { encoding: 'utf8' })
  const version = run('version')
  assert.equal(version.status, 0)
  assert.match(version.stdout, /\d+\.\d+\.\d+/)
  assert.equal(run('no-such-command').status, 2)
})

test('without a native part for the machine the error says what to do', (context) => {
  const path = folder(context, {})
  mkdirSync(join(path, 'dist'))
  copyFileSync(join(PACKAGE, 'dist', 'native.js'), join(path, 'dist', 'native.js'))
  writeFileSync(join(path, 'package.json'), '{"optionalDependencies": {"bindwright-linux-x64-gnu": "0"}}')
  const { status, stderr } = spawnSync(process.execPath, [join(path, 'dist', 'native.js')], { encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /the package bindwright-linux-x64-gnu, is not installed\. .*--omit=optional/)
})

test('the platform package is found where npm puts it', (context) => {
  const path = folder(context, {})
  mkdirSync(join(path, 'dist'))
  copyFileSync(join(PACKAGE, 'dist', 'native.js'), join(path, 'dist', 'native.js'))
  const native = join(path, 'node_modules', 'bindwright-linux-x64-gnu')
  mkdirSync(native, { recursive: true })
  copyFileSync(join(PACKAGE, 'npm', 'linux-x64-gnu', 'package.json'), join(native, 'package.json'))
  copyFileSync(join(PACKAGE, 'bindwright.node'), join(native, 'bindwright.node'))
  const text = `console.log(require('${path}/dist/native.js').native.version())`
  const { version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'))
  assert.equal(execFileSync(process.execPath, ['-e', text], { encoding: 'utf8' }), `${version}\n`)
})

test('all packages have the version of the library', () => {
  const { version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'))
  const platform = JSON.parse(readFileSync(join(PACKAGE, 'npm', 'linux-x64-gnu', 'package.json'), 'utf8'))
  assert.equal(platform.version, version)
})

test('orders that one program sends another one receives, in JavaScript and TypeScript', async (context) => {
  const broker = begin(context, COMMAND, ['dev', 'kafka', '--port', '0'])
  await until('the broker is there', () => broker.lines.length > 0)
  const path = ordersFolder(context, broker.lines[0].split(' ').at(-1), 'orders')
  for (const [sends, receives] of [
    ['plain/sender.mjs', 'receiver.mjs'],
    ['sender.mjs', 'plain/receiver.mjs'],
  ]) {
    const given = ['--resources', join(path, 'components')]
    const sender = begin(context, join(path, sends), [...given, '--count', '5', '--interval', '0'])
    assert.deepEqual(await sender.over, [0, null])
    const receiver = begin(context, join(path, receives), given)
    await until('all orders came', () => receiver.lines.length >= 5, 60)
    assert.deepEqual(numbers(receiver.lines), numbers(sender.lines))
    receiver.child.kill('SIGTERM')
    assert.deepEqual(await receiver.over, [0, null])
  }
  broker.child.kill('SIGTERM')
  assert.deepEqual(await broker.over, [0, null])
})

for (const way of ['embedded', ...WAYS]) {
  test(`the same programs with BINDWRIGHT_TRANSPORT=${way} and a real Kafka`, { skip }, async (context) => {
    const topic = `orders-${way}-${process.pid}`
    const path = ordersFolder(context, (await kafka()).bootstrap, topic)
    await createTopic(topic, 3)
    const options = { cwd: path, env: { ...process.env, BINDWRIGHT_TRANSPORT: way } }
    const run = async (program, ...given) => {
      const beside = ['run', '--resources-path', 'components', '--app-port', String(await freePort())]
      return begin(context, COMMAND, [...beside, '--', process.execPath, program, ...given], options)
    }
    const said = (program) => program.lines.filter((line) => line.startsWith('== APP == '))
    for (const [sends, receives] of [
      ['plain/sender.mjs', 'receiver.mjs'],
      ['sender.mjs', 'plain/receiver.mjs'],
    ]) {
      const receiver = await run(receives)
      const sender = await run(sends, '--count', '20', '--interval', '0')
      assert.deepEqual(await sender.over, [0, null])
      await until('all orders came', () => said(receiver).length >= 20, 60)
      assert.deepEqual(numbers(said(receiver)), numbers(said(sender)))
      receiver.child.kill('SIGTERM')
      assert.deepEqual(await receiver.over, [0, null])
    }
  })
}

const numbers = (lines) => lines.map((line) => line.split(' ').at(-1)).sort()

/** A folder with the programs, the package, and components for this topic. */
function ordersFolder(context, address, topic) {
  const path = folder(context, {})
  mkdirSync(join(path, 'node_modules'))
  symlinkSync(PACKAGE, join(path, 'node_modules', 'bindwright'))
  for (const name of ['sender.mts', 'receiver.mts']) {
    copyFileSync(join(ORDERS, 'typescript', name), join(path, name))
  }
  for (const name of ['sender.mjs', 'receiver.mjs']) {
    mkdirSync(join(path, 'plain'), { recursive: true })
    copyFileSync(join(ORDERS, 'javascript', name), join(path, 'plain', name))
  }
  symlinkSync(join(PACKAGE, 'node_modules', '@types'), join(path, 'node_modules', '@types'))
  const compiler = join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc')
  const strict = [
    '--strict',
    '--module',
    'node16',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
    '--types',
    'node',
  ]
  execFileSync(process.execPath, [compiler, ...strict, join(path, 'sender.mts'), join(path, 'receiver.mts')], {
    cwd: path,
    stdio: 'inherit',
  })
  mkdirSync(join(path, 'components'))
  const document = readFileSync(join(ORDERS, 'components', 'checkout.yaml'), 'utf8')
  const own = document.replace('localhost:9092', address).replaceAll(/value: (orders|group1)$/gm, `value: ${topic}`)
  writeFileSync(join(path, 'components', 'checkout.yaml'), `${own}  - name: initialOffset\n    value: oldest\n`)
  return path
}
