// A real Kafka for tests, started by `tests/servers/kafka.py` when the first test asks, and ended with this process.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const SCRIPT = join(import.meta.dirname, '..', '..', 'tests', 'servers', 'kafka.py')

let starting

/** The broker that all tests of a file share: its `bootstrap`, and `ask` for the lines that the script obeys. */
export function kafka() {
  starting ??= start()
  return starting
}

async function start() {
  const script = spawn('python3', [SCRIPT, '--fast-start'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: script.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the script ended without a word')
    return JSON.parse(value)
  }
  const first = await answer()
  if (first.ok === false) {
    throw Object.assign(new Error(first.error), { isMissing: first.missing })
  }
  // It ends with its standard input, also when this process is killed; and must not keep it alive.
  for (const part of [script, script.stdin, script.stdout]) part.unref()
  let turn = Promise.resolve()
  const ask = (line) => {
    const asked = turn.then(async () => {
      for (const part of [script, script.stdout]) part.ref()
      script.stdin.write(`${line}\n`)
      const said = await answer()
      for (const part of [script, script.stdout]) part.unref()
      if (!said.ok) throw new Error(said.error)
    })
    turn = asked.catch(() => undefined)
    return asked
  }
  return { bootstrap: first.bootstrap, ask }
}

export async function createTopic(topic, partitions) {
  await (await kafka()).ask(`create ${topic} ${partitions}`)
}

/** Why tests are skipped: the machine lacks what a broker needs. In CI that is a failure instead. */
export async function missingKafka() {
  try {
    await kafka()
    return false
  } catch (error) {
    if (!error.isMissing || process.env.CI) throw error
    return `no Kafka: ${error.message}`
  }
}
