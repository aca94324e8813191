// Log lines: to loggers and to the channel, and nowhere by themselves.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { Client } from '../dist/index.mjs'
import { ended, folder, memory, until } from './fixture.mjs'

function recorder() {
  const lines = []
  const take =
    (level) =>
    (message, ...rest) =>
      lines.push([level, message, ...rest])
  return { lines, error: take('error'), warn: take('warn'), info: take('info'), debug: take('debug') }
}

test('a logger gets lines of its level until its client is closed', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const [loud, quiet] = [recorder(), recorder()]
  const one = await Client.open({ resources, logger: loud })
  const two = await Client.open({ resources, logger: quiet, logLevel: 'warn' })
  await until('a line came', () => loud.lines.length >= 2)
  assert.match(loud.lines[0][1], /^bindwright: client opened transport=embedded resources=/)
  assert.equal(loud.lines[0][0], 'info')
  assert.deepEqual(quiet.lines, [])
  await one.close()
  const before = loud.lines.length
  await two.close()
  await (await Client.open({ resources, logLevel: 'info' })).close()
  assert.equal(loud.lines.length, before)
})

test('a failing handler is logged with what it threw, and the channel has it, too', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const logger = recorder()
  const records = []
  const listen = (record) => records.push(record)
  subscribe('bindwright:log', listen)
  context.after(() => unsubscribe('bindwright:log', listen))
  const client = await Client.open({ resources, logger })
  const oops = new Error('oops')
  client.onBinding('orders', (event) => {
    if (event.attempt === 1) throw oops
  })
  await client.start()
  await client.invokeBinding('orders', 'create', 'secret data')
  await until('it is logged', () => records.some(({ error }) => error === oops))
  await client.close()
  const line = logger.lines.find(([level]) => level === 'error')
  assert.match(line[1], /the handler of binding "orders" failed on delivery 1; the event comes again/)
  assert.equal(line[2], oops)
  const record = records.find(({ level }) => level === 'error')
  assert.deepEqual([record.target, record.error, record.time instanceof Date], ['bindwright', oops, true])
  assert.ok(!JSON.stringify(logger.lines).includes('secret data'))
})

test('a logger that throws ends nothing', async (context) => {
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const fail = () => {
    throw new Error('no')
  }
  const client = await Client.open({ resources, logger: { error: fail, warn: fail, info: fail, debug: fail } })
  await client.close()
})

test('without a logger nothing is printed', (context) => {
  const text = `const client = await Client.open({ resources })
    client.onBinding('orders', (event) => { if (event.attempt < 3) throw new Error('oops'); client.stop() })
    await client.invokeBinding('orders', 'create'); await client.run()`
  assert.deepEqual(ended(context, text), { status: 0, signal: null, stdout: '', stderr: '' })
})
