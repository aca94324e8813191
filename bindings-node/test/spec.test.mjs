// Runs the cases in `tests/spec`; `tests/spec/README.md` describes the format.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { BindwrightError, Client } from '../dist/index.mjs'
import { folder, until } from './fixture.mjs'
import { createTopic, kafka, missingKafka } from './kafka.mjs'

const FOLDER = join(import.meta.dirname, '..', '..', 'tests', 'spec')
const PATIENCE_MS = 30_000
// Asked for first: nothing may be awaited after a test has been named.
const skip = await missingKafka()
let numbers = 0

const cases = (file) => parse(readFileSync(join(FOLDER, file), 'utf8'), { maxAliasCount: -1 })

for (const file of ['memory.yaml', 'dispatch.yaml', 'policies.yaml', 'documents.yaml']) {
  describe(file, () => {
    for (const one of cases(file)) {
      test(one.case, async (context) => {
        await run(one, context, { '{queue}': `node-spec-${process.pid}-${numbers++}` })
      })
    }
  })
}

describe('kafka.yaml', { skip }, () => {
  for (const one of cases('kafka.yaml')) {
    test(one.case, async (context) => {
      const unique = `node-${process.pid}-${numbers++}`
      const placeholders = { '{brokers}': (await kafka()).bootstrap, '{topic}': unique, '{group}': unique }
      await createTopic(unique, one.partitions ?? 1)
      await run(one, context, placeholders)
    })
  }
})

async function run(one, context, placeholders) {
  const fill = (text) => Object.entries(placeholders).reduce((all, [name, value]) => all.replaceAll(name, value), text)
  const case_ = new Case(folder(context, { 'components.yaml': fill(one.components), ...one.files }), fill)
  try {
    await case_.open()
    for (const [index, step] of one.steps.entries()) {
      await case_.step(step, `step ${index + 1}`)
    }
  } finally {
    await case_.close()
  }
}

/** One case: its folder, its client, its subscriptions. A new kind of step is a method here. */
class Case {
  constructor(path, fill) {
    this.path = path
    this.fill = fill
    this.pullers = new Map()
  }

  async open() {
    this.client = await Client.open({ resources: this.path })
  }

  async close() {
    for (const puller of this.pullers.values()) {
      await puller.events.close()
    }
    this.pullers.clear()
    await this.client?.close({ drainMs: 5000 })
  }

  async step(step, place) {
    const [kind, name] = Object.entries(step)[0]
    assert.ok(
      ['invoke', 'event', 'subscribe', 'quiet', 'faults', 'component', 'reopen'].includes(kind),
      `${place}: ${kind}`,
    )
    await this[kind](name, step, place)
  }

  async invoke(name, step, place) {
    const call = () =>
      this.client.invokeBinding(name, ...this.request(step), {
        metadata: this.metadata(step),
        ...('timeout' in step && { timeoutMs: step.timeout * 1000 }),
      })
    if ('error' in step) {
      const error = await call().then(
        () => assert.fail(`${place}: it succeeded`),
        (error) => error,
      )
      checkError(error, step.error, place)
      return
    }
    const reply = await call()
    this.checkMetadata(reply.metadata, step.reply ?? {}, place)
    if ('replyData' in step) {
      assert.deepEqual(reply.data, dataExpected(step.replyData), place)
    }
  }

  async event(name, step, place) {
    const event = await this.puller(name).next(PATIENCE_MS)
    assert.ok(event, `${place}: no event came`)
    if ('data' in step) {
      assert.deepEqual(event.data, dataExpected(step.data), place)
    }
    if ('attempt' in step) {
      assert.equal(event.attempt, step.attempt, place)
    }
    this.checkMetadata(event.metadata, step.metadata ?? {}, place)
    if ('settle' in step) {
      assert.equal(this.settle(event, step.settle), true, place)
    }
  }

  async subscribe(name, step, place) {
    const error = await this.client
      .events(name)
      .open()
      .then(
        () => assert.fail(`${place}: it succeeded`),
        (error) => error,
      )
    checkError(error, step.error, place)
  }

  async quiet(name, _step, place) {
    assert.equal(await this.puller(name).next(1000), undefined, `${place}: an event came`)
  }

  async faults(expected, _step, place) {
    const faults = this.client.faults()
    assert.equal(faults.length, expected.length, `${place}: ${faults}`)
    for (const one of expected) {
      const found = faults.find((fault) => fault.message.includes(one.text ?? ''))
      assert.ok(found, `${place}: ${one.text} is not in ${faults}`)
      checkError(found, one, place)
    }
  }

  async component(name, step, place) {
    const look = () => this.client.components().find((component) => component.name === name)
    await until(`${place}: ${name} is ${step.state}`, () => look().state === step.state, PATIENCE_MS / 1000)
    if ('error' in step) {
      checkError(look().error, step.error, place)
    }
  }

  async reopen() {
    await this.close()
    await this.open()
  }

  settle(event, outcome) {
    if (outcome === 'dead_letter') return event.deadLetter()
    if (typeof outcome === 'string') return event[outcome]()
    if ('retry' in outcome) return event.retry(outcome.retry * 1000)
    if ('dead_letter' in outcome) return event.deadLetter(outcome.dead_letter)
    const emissions = outcome.emit.map((emission) => {
      const [operation, data] = this.request(emission)
      return { binding: emission.binding, operation, data, metadata: this.metadata(emission) }
    })
    return event.emit(...emissions)
  }

  request(step) {
    return [step.operation ?? 'create', dataToSend(step)]
  }

  metadata(step) {
    const entries = Object.entries(step.metadata ?? {}).map(([name, value]) => [name, this.fill(value)])
    return 'metadata' in step ? Object.fromEntries(entries) : undefined
  }

  puller(name) {
    if (!this.pullers.has(name)) {
      this.pullers.set(name, new Puller(this.client.events(name)))
    }
    return this.pullers.get(name)
  }

  checkMetadata(found, expected, place) {
    for (const [name, value] of Object.entries(expected)) {
      if (value === null) assert.ok(!(name in found), `${place}: ${name}`)
      else if (value === true) assert.ok(name in found, `${place}: ${name}`)
      else assert.equal(found[name], this.fill(value), `${place}: ${name}`)
    }
  }
}

/** Asks with a deadline; what comes later is for the next who asks. */
class Puller {
  constructor(events) {
    this.events = events
  }

  async next(milliseconds) {
    this.asked ??= this.events.next()
    let timer
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, milliseconds)
    })
    const found = await Promise.race([this.asked, late])
    clearTimeout(timer)
    if (found !== undefined) {
      this.asked = undefined
    }
    return found?.value
  }
}

function dataToSend(step) {
  const { data } = step
  if (data === undefined) return undefined
  if (data === 'none') return null
  if ('text' in data) return data.text
  if ('json' in data) return data.json
  if ('base64' in data) return Buffer.from(data.base64, 'base64')
  return data.repeat.text.repeat(data.repeat.times)
}

function dataExpected(data) {
  if (data === 'none') return null
  return 'text' in data ? Buffer.from(data.text) : Buffer.from(data.base64, 'base64')
}

function checkError(error, expected, place) {
  assert.ok(error instanceof BindwrightError, `${place}: ${error}`)
  for (const [name, value] of Object.entries(expected)) {
    if (name === 'text') assert.ok(error.message.includes(value), `${place}: ${value} is not in ${error.message}`)
    else assert.equal(error[name], value, `${place}: ${name} of ${error}`)
  }
}
