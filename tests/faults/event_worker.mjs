// One consumer process of the scenario `events` in Node, as event_worker.py is one in Python: fails on purpose, and logs
// what it does before its handler is over.
//
// node event_worker.mjs RESOURCES LOG FAILS_FOR_EVER_OF
import { openSync, writeSync } from 'node:fs'
import { Client } from '../../bindings-node/dist/index.mjs'

const HANDLED = 0
const FAILED = 1
const ONE_FAILS_ONCE_OF = 50
const TAIL = Buffer.from('00fffe0d0a80', 'hex')

const [resources, log, failsForEverOf] = process.argv.slice(2)
const file = openSync(log, 'a')

/** The number in a payload; -1 when it is not, byte for byte, what was sent. */
function numberOf(data) {
  const number = Number.parseInt(data?.toString('latin1') ?? '', 10)
  const sent = Buffer.concat([Buffer.from(`${number} `), TAIL])
  return data !== null && sent.equals(data) ? number : -1
}

function isFailing(number, attempt) {
  const forEver = Number(failsForEverOf) > 0 && number % Number(failsForEverOf) === 7
  return forEver || (attempt === 1 && number % ONE_FAILS_ONCE_OF === 1)
}

/** As `RECORD` in event_log.py; the clock is the same. One write without a buffer: it outlives the process. */
function note(event, number, kind) {
  const record = Buffer.alloc(32)
  record.writeBigInt64LE(process.hrtime.bigint(), 0)
  record.writeBigInt64LE(BigInt(event.metadata.__offset), 8)
  record.writeBigInt64LE(BigInt(number), 16)
  record.writeInt32LE(Number(event.metadata.__partition), 24)
  record.writeInt32LE(kind, 28)
  writeSync(file, record)
}

const client = await Client.open({ resources })
client.onBinding('events', async (event) => {
  // Some handlers wait, most do not: both ways of settling are killed in the middle.
  const number = numberOf(event.data)
  if (number % 10 === 0) {
    await new Promise(setImmediate)
  }
  const failing = isFailing(number, event.attempt)
  note(event, number, failing ? FAILED : HANDLED)
  if (failing) {
    throw new Error('on purpose')
  }
})
await client.run({ drainMs: 10_000 })
