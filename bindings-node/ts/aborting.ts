/** What an `AbortSignal` does to a call: the native part drops it, which recalls what was not handed over. */
import { typeName } from './data.js'
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

/** The calls that one signal ends, and its only listener: a signal searches all that it has for each new one. */
interface Followers {
  readonly keys: Set<number>
  readonly abort: () => void
}

const followers = new WeakMap<AbortSignal, Followers>()

function follow(signal: AbortSignal, key: number): void {
  const known = followers.get(signal)
  if (known !== undefined) {
    known.keys.add(key)
    return
  }
  const keys = new Set([key])
  const abort = () => {
    for (const each of keys) {
      native.abortCall(each)
    }
  }
  followers.set(signal, { keys, abort })
  signal.addEventListener('abort', abort, { once: true })
}

function unfollow(signal: AbortSignal, key: number): void {
  const known = followers.get(signal)
  if (known?.keys.delete(key) && known.keys.size === 0) {
    followers.delete(signal)
    signal.removeEventListener('abort', known.abort)
  }
}

/** Begins a call that a signal may end. */
export async function abortable<T>(
  signal: AbortSignal,
  concern: Concern,
  begin: (key: number) => Promise<T>,
): Promise<T> {
  if (typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw fault('INVALID_REQUEST', `signal: expected an AbortSignal, got ${typeName(signal)}`, { ...concern })
  }
  if (signal.aborted) {
    throw aborted(signal, concern)
  }
  const key = freshKey()
  try {
    const call = begin(key)
    follow(signal, key)
    return await (call ?? endless)
  } catch (thrown) {
    throw thrown === undefined ? aborted(signal, concern) : translated(thrown)
  } finally {
    unfollow(signal, key)
  }
}

function aborted(signal: AbortSignal, concern: Concern): Error {
  return fault('CANCELLED', 'the call was aborted by its signal', { ...concern, cause: signal.reason })
}
