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
  if (signal.aborted) {
    throw aborted(signal, concern)
  }
  const key = freshKey()
  const abort = () => native.abortCall(key)
  try {
    const call = begin(key)
    signal.addEventListener('abort', abort, { once: true })
    return await (call ?? endless)
  } catch (thrown) {
    throw thrown === undefined ? aborted(signal, concern) : translated(thrown)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function aborted(signal: AbortSignal, concern: Concern): Error {
  return fault('CANCELLED', 'the call was aborted by its signal', { ...concern, cause: signal.reason })
}
