/** SIGTERM and SIGINT, for all that runs in the main thread at the time. */
import { constants } from 'node:os'
import { isMainThread } from 'node:worker_threads'

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

const stops = new Set<() => void>()
let isHeard = false

function onSignal(signal: NodeJS.Signals): void {
  if (isHeard) {
    // The second one means it: what Node does with it when nobody listens, also where others listen beside us.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    // The first process of a container is not ended by signals.
    process.exit(128 + constants.signals[signal])
  }
  isHeard = true
  for (const stop of stops) {
    stop()
  }
}

/** Turns the first signal into `stop`, the second one into the end of the program; until the result is called. */
export function hearStopSignals(stop: () => void): () => void {
  // Only the main thread receives signals; whoever runs us elsewhere calls `stop`.
  if (!isMainThread) {
    return () => undefined
  }
  if (stops.size === 0) {
    isHeard = false
    for (const name of SIGNALS) {
      process.on(name, onSignal)
    }
  }
  stops.add(stop)
  return () => {
    stops.delete(stop)
    if (stops.size === 0) {
      for (const name of SIGNALS) {
        process.removeListener(name, onSignal)
      }
    }
  }
}
