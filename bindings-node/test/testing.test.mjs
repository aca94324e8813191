// The test kit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BindwrightError, Client } from '../dist/index.mjs'
import { Answer, Sandbox } from '../dist/testing.mjs'
import { component, folder, memory, opened } from './fixture.mjs'

async function setUp(context, documents = memory('orders')) {
  const sandbox = opened(context, new Sandbox())
  return [sandbox, opened(context, await Client.open({ resources: folder(context, { 'a.yaml': documents }) }))]
}

test('components of any type are fakes, whatever they need', async (context) => {
  const documents = component('mystery', 'bindings.of.another.world', { key: 'x' })
  const [sandbox, client] = await setUp(context, documents)
  await client.invokeBinding('mystery', 'anything', { a: 1 }, { metadata: { b: 'c' } })
  const [invocation] = sandbox.invocations('mystery')
  assert.deepEqual(
    [invocation.binding, invocation.operation, invocation.json(), invocation.metadata, invocation.error],
    ['mystery', 'anything', { a: 1 }, { b: 'c' }, undefined],
  )
  sandbox.forget()
  assert.deepEqual(sandbox.invocations(), [])
})

test('answers are given for operations, for a number of times, and late', async (context) => {
  const [sandbox, client] = await setUp(context)
  sandbox.reply('orders', 'all')
  sandbox.reply('orders', 'of size', { operation: 'size' })
  sandbox.reply('orders', new Answer('once', { a: 'b' }), { times: 1, delayMs: 5 })
  const call = (operation) => client.invokeBinding('orders', operation)
  const first = await call('create')
  assert.deepEqual([first.text(), first.metadata], ['once', { a: 'b' }])
  assert.equal((await call('create')).text(), 'all')
  assert.equal((await call('size')).text(), 'of size')
  assert.throws(() => sandbox.reply('orders', 'x', { times: 0 }), { code: 'INVALID_OPTIONS' })
  assert.throws(() => sandbox.reply('orders', 'x', { delayMs: -1 }), { code: 'INVALID_OPTIONS' })
})

test('failures have the code that the test says', async (context) => {
  const [sandbox, client] = await setUp(context)
  sandbox.fail('orders', 'UNAVAILABLE', { message: 'gone fishing' })
  const failed = { code: 'UNAVAILABLE', retriable: true, summary: 'gone fishing' }
  await assert.rejects(client.invokeBinding('orders', 'create'), failed)
  await client.invokeBinding('orders', 'create')
  sandbox.fail('orders', 'TIMEOUT', { times: Number.POSITIVE_INFINITY })
  for (let count = 0; count < 3; count++) {
    await assert.rejects(client.invokeBinding('orders', 'create'), { code: 'TIMEOUT' })
  }
  assert.throws(() => sandbox.fail('orders', 'NO_SUCH'), { code: 'INVALID_OPTIONS', message: /expected one of/ })
})

test('a function answers, also calls that core makes elsewhere', async (context) => {
  const documents = `${memory('orders', { deadLetterBinding: 'letters' })}---\n${memory('letters')}`
  const [sandbox, client] = await setUp(context, documents)
  let own
  sandbox.reply('orders', (invocation) => {
    if (invocation.text() === 'own') throw own
    if (invocation.text() === 'bad') throw new TypeError('oops')
    if (invocation.text() === 'async') return Promise.resolve('x')
    return new Answer(invocation.text().toUpperCase(), { operation: invocation.operation })
  })
  const reply = await client.invokeBinding('orders', 'create', 'a')
  assert.deepEqual([reply.text(), reply.metadata], ['A', { operation: 'create' }])
  own = await client.invokeBinding('missing', 'create').catch((error) => error)
  assert.ok(own instanceof BindwrightError)
  await assert.rejects(client.invokeBinding('orders', 'create', 'own'), { code: 'COMPONENT_NOT_FOUND' })
  await assert.rejects(client.invokeBinding('orders', 'create', 'bad'), {
    code: 'INTERNAL',
    message: /TypeError: oops/,
  })
  await assert.rejects(client.invokeBinding('orders', 'create', 'async'), { code: 'INTERNAL', message: /promise/ })
  const letters = []
  sandbox.reply('letters', (invocation) => {
    letters.push(invocation.text())
  })
  client.onBinding('orders', (event) => event.deadLetter('no') && undefined)
  await client.start()
  assert.equal((await sandbox.push('orders', 'given up').wait()).ending, 'deadLetter')
  assert.deepEqual(letters, ['given up'])
})

test('waiting tells what there is instead', async (context) => {
  const [sandbox, client] = await setUp(context)
  setTimeout(() => client.invokeBinding('orders', 'create', 'x'), 5)
  assert.equal((await sandbox.waitFor('orders', { operation: 'create' }))[0].text(), 'x')
  await assert.rejects(sandbox.waitFor('orders', { count: 2, timeoutMs: 10 }), { code: 'TIMEOUT' })
  const pushed = sandbox.push('orders', 'x')
  assert.deepEqual(pushed.progress, { deliveries: 0 })
  await assert.rejects(pushed.wait({ timeoutMs: 10 }), { code: 'TIMEOUT', message: /nothing subscribed/ })
  client.onBinding('orders', () => {
    throw new Error('never')
  })
  await client.start()
  const { deliveries, cause } = await pushed.wait({ deliveries: 3 })
  assert.ok(deliveries >= 3)
  assert.deepEqual(cause, { code: 'Error', text: 'never' })
})

test('there is one sandbox at a time, and afterwards its clients are closed', async (context) => {
  const [sandbox, client] = await setUp(context)
  assert.throws(() => new Sandbox(), { name: 'BindwrightError', code: 'INVALID_OPTIONS' })
  sandbox.close()
  sandbox.close()
  await assert.rejects(client.invokeBinding('orders', 'create'), { code: 'CLOSED' })
  assert.throws(() => sandbox.push('orders', 'x'), { code: 'CLOSED' })
  new Sandbox().close()
})
