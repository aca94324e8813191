// What all programs here share: packages from a folder, and rounds that the Python harness asks for.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const BINDING = 'checkout'
export const PAYLOAD = Buffer.alloc(100, 'x')

/** Loads packages that are installed in a folder elsewhere. */
export function packagesOf(folder) {
  return createRequire(join(folder, 'package.json'))
}

/** The options of the command line: one text in JSON. */
export function options() {
  return JSON.parse(process.argv[2])
}

/** Answers each line of stdin, a round in JSON, with a line of figures; ends when stdin does. */
export async function answerRounds(round, close) {
  say({ ready: true })
  for await (const line of createInterface({ input: process.stdin })) {
    say(await round(JSON.parse(line)))
  }
  await close?.()
  // kafkajs may leave timers behind.
  process.exit(0)
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}

/** Of the times of single calls, from milliseconds to microseconds. */
function percentiles(millis) {
  const ordered = Float64Array.from(millis).sort()
  const part = (ofHundred) => ordered[Math.min(Math.floor((ordered.length * ofHundred) / 100), ordered.length - 1)] * 1e3
  return { p50: part(50), p90: part(90), p99: part(99) }
}

/** Makes `calls` calls, `inFlight` of them at once; `send` is given the number of the call. */
export async function crowd(send, calls, inFlight) {
  const millis = []
  let next = 0
  const work = async () => {
    while (next < calls) {
      const number = next++
      const began = performance.now()
      await send(number)
      millis.push(performance.now() - began)
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: inFlight }, work))
  return { rate: calls / ((performance.now() - start) / 1e3), ...percentiles(millis) }
}

/** Takes the time from the first event to the last. */
export class Counter {
  #expected
  #count = 0
  #began = 0
  #ended = 0

  constructor(expected) {
    this.#expected = expected
  }

  /** Whether there are more to come. */
  add(events) {
    if (this.#count >= this.#expected) {
      return false
    }
    if (this.#count === 0) {
      this.#began = performance.now()
    }
    this.#count += events
    if (this.#count >= this.#expected) {
      this.#ended = performance.now()
    }
    return this.#count < this.#expected
  }

  figures() {
    if (this.#count < this.#expected) {
      throw new Error(`only ${this.#count} of ${this.#expected} events came`)
    }
    return { rate: this.#count / ((this.#ended - this.#began) / 1e3) }
  }
}
