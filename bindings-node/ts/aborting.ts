/** What an `AbortSignal` does to a call: the native part drops it, which recalls what was not handed over. */
import { fault, translated } from './errors.js'
import { endless, native } from './native.js'

let nextKey = 0

function freshKey(): number {
  // Calls with a signal that are under way at once are far fewer.
  nextKey = (nextKey + 1) >>> 0
  return nextKey
}

/** What a call concerns, for the error of one that was aborted. */
interface Concern {
  component?: string
  operation?: string
}

/** Begins a call that a signal may end. */
export async function abortable<T>(
  signal: AbortSignal,
  concern: Concern,
  begin: (key: number) => Promise<T>,
): Promise<T> {
  return endedBy(signal, concern, () => {
    const key = freshKey()
    return { answer: begin(key), abort: () => native.abortCall(key) }
  })
}

/** Begins a call that a signal may end in the call's own way. */
export async function endedBy<T>(
  signal: AbortSignal,
  concern: Concern,
  begin: () => { answer: T | Promise<T>; abort: () => void },
): Promise<T> {
  if (signal.aborted) {
    throw aborted(signal, concern)
  }
  let abort = (): void => undefined
  try {
    const call = begin()
    abort = call.abort
    signal.addEventListener('abort', abort, { once: true })
    return await (call.answer ?? endless)
  } catch (thrown) {
    throw thrown === undefined ? aborted(signal, concern) : translated(thrown)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function aborted(signal: AbortSignal, concern: Concern): Error {
  return fault('CANCELLED', 'the call was aborted by its signal', { ...concern, cause: signal.reason })
}
