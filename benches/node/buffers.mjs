// Buffers that are copies beside buffers that point to native memory: nanoseconds for each, by size, in turns.
//
//     node benches/node/buffers.mjs FILE      the native library, built with the feature `bench`
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const { bufferOf } = createRequire(import.meta.url)(resolve(process.argv[2]))
const ROUNDS = 7
const BYTES = 2 ** 27
const MOST = 20_000
const OF_A_TURN = 8

const nextTurn = () => new Promise((next) => setImmediate(next))

async function measure(size, isCopy) {
  const count = Math.min(MOST, Math.max(64, Math.floor(BYTES / size)))
  let sum = 0
  const began = performance.now()
  for (let number = 0; number < count; number++) {
    sum += bufferOf(size, isCopy)[size - 1]
    // Finalizers run between turns: what a program gets comes in many of them, too.
    if (number % OF_A_TURN === 0) {
      await nextTurn()
    }
  }
  if (sum !== count) {
    throw new Error('the buffers hold something else')
  }
  return ((performance.now() - began) / count) * 1e6
}

const median = (numbers) => numbers.sort((one, other) => one - other)[Math.floor(numbers.length / 2)]

for (let size = 2 ** 10; size <= 2 ** 22; size *= 2) {
  const taken = { copy: [], pointing: [] }
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [kind, isCopy] of [['copy', true], ['pointing', false]]) {
      const nanos = await measure(size, isCopy)
      if (round > 0) {
        taken[kind].push(nanos)
      }
    }
  }
  console.log(`${size / 1024} KiB: copy ${Math.round(median(taken.copy))}, pointing ${Math.round(median(taken.pointing))}`)
}
