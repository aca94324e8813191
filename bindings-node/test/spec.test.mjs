// Runs the cases in `tests/spec` over every transport; `tests/spec/README.md` describes the format.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { BindwrightError, Client } from '../dist/index.mjs'
import { folder, until } from './fixture.mjs'
import { createTopic, kafka, missingKafka } from './kafka.mjs'
import { Sidecar, WAYS } from './sidecar.mjs'

const FOLDER = join(import.meta.dirname, '..', '..', 'tests', 'spec')
const PATIENCE_MS = 30_000
// Asked for first: nothing may be awaited after a test has been named.
const skip = await missingKafka()
let numbers = 0

const cases = (file) => parse(readFileSync(join(FOLDER, file), 'utf8'), { maxAliasCount: -1 })

for (const file of ['memory.yaml', 'dispatch.yaml', 'policies.yaml', 'documents.yaml']) {
  declare(file, {}, async (one, context, way) => {
    await run(one, context, way, { '{queue}': `node-spec-${process.pid}-${numbers++}` })
  })
}

declare('kafka.yaml', { skip }, async (one, context, way) => {
  const unique = `node-${process.pid}-${numbers++}`
  const placeholders = { '{brokers}': (await kafka()).bootstrap, '{topic}': unique, '{group}': unique }
  await createTopic(unique, one.partitions ?? 1)
  await run(one, context, way, placeholders)
})

/** A test for each case and transport; where they differ, the reason is the reason for skipping. */
function declare(file, options, body) {
  for (const way of ['embedded', ...WAYS]) {
    // Several at once: beside a sidecar a case mostly waits.
    describe(`${file}, ${way}`, { ...options, concurrency: way === 'embedded' ? 1 : 4 }, () => {
      for (const one of cases(file)) {
        test(one.case, { skip: whyNot(one, way) ?? false }, (context) => body(one, context, way))
      }
    })
  }
}

/** Why a case or a step is not for a transport. */
function whyNot({ differs = {} }, way) {
  for (const [name, why] of Object.entries(differs)) {
    assert.ok([...WAYS, 'sidecar'].includes(name), `differs: no such transport: ${name}`)
    assert.ok(typeof why === 'string' && why.trim() !== '', `differs: ${name} says no reason`)
  }
  return way === 'embedded' ? undefined : (differs[way] ?? differs.sidecar)
}

async function run(one, context, way, placeholders) {
  const fill = (text) => Object.entries(placeholders).reduce((all, [name, value]) => all.replaceAll(name, value), text)
  const path = folder(context, { 'components.yaml': fill(one.components), ...one.files })
  const steps = one.steps.filter((step) => whyNot(step, way) === undefined)
  const case_ = new Case(path, fill, way, steps)
  try {
    await case_.begin()
    for (const step of steps) {
      await case_.step(step, `step ${one.steps.indexOf(step) + 1}`)
    }
  } finally {
    await case_.end()
  }
}

/** One case: its folder, its sidecar, its client, its subscriptions. A new kind of step is a method here. */
class Case {
  constructor(path, fill, way, steps) {
    this.path = path
    this.fill = fill
    this.way = way
    this.received = new Set(steps.flatMap((step) => [step.event, step.quiet]).filter(Boolean))
    this.pullers = new Map()
  }

  async begin() {
    if (this.way !== 'embedded') {
      this.sidecar = await Sidecar.start(this.path, { appProtocol: this.way.replace('sidecar-', '') })
    }
    await this.open()
  }

  async end() {
    try {
      await this.close()
    } finally {
      await this.sidecar?.end('SIGKILL')
    }
  }

  async open() {
    this.client = await Client.open(this.sidecar?.options(this.way) ?? { resources: this.path })
    assert.equal(this.client.transport, this.way)
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
    const event = await (await this.puller(name)).next(PATIENCE_MS)
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
    assert.equal(await (await this.puller(name)).next(1000), undefined, `${place}: an event came`)
  }

  async faults(expected, _step, place) {
    const faults = this.client.faults()
    if (this.sidecar !== undefined) {
      assert.deepEqual(faults, [], place)
      return
    }
    assert.equal(faults.length, expected.length, `${place}: ${faults}`)
    for (const one of expected) {
      const found = faults.find((fault) => fault.message.includes(one.text ?? ''))
      assert.ok(found, `${place}: ${one.text} is not in ${faults}`)
      checkError(found, one, place)
    }
  }

  async component(name, step, place) {
    const look = async () => (await this.client.components()).find((component) => component.name === name)
    await until(
      `${place}: ${name} is ${step.state}`,
      async () => (await look()).state === step.state,
      PATIENCE_MS / 1000,
    )
    if ('error' in step) {
      checkError((await look()).error, step.error, place)
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

  /** A sidecar asks once what is wanted, so all of the case's bindings are subscribed to together. */
  async puller(name) {
    const wanted = this.sidecar === undefined ? [name] : this.received
    for (const one of wanted) {
      if (!this.pullers.has(one)) {
        const events = this.client.events(one)
        this.pullers.set(one, new Puller(events))
        await events.open()
      }
    }
    return this.pullers.get(name)
  }

  checkMetadata(found, expected, place) {
    for (const [given, value] of Object.entries(expected)) {
      // HTTP does not keep the case of names.
      const name = this.way === 'sidecar-http' ? given.toLowerCase() : given
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
