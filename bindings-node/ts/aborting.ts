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
  readonly calls: Set<() => void>
  readonly abort: () => void
}

const followers = new WeakMap<AbortSignal, Followers>()

function follow(signal: AbortSignal, call: () => void): void {
  const known = followers.get(signal)
  if (known !== undefined) {
    known.calls.add(call)
    return
  }
  const calls = new Set([call])
  const abort = () => {
    for (const each of calls) {
      each()
    }
  }
  followers.set(signal, { calls, abort })
  signal.addEventListener('abort', abort, { once: true })
}

function unfollow(signal: AbortSignal, call: () => void): void {
  const known = followers.get(signal)
  if (known?.calls.delete(call) && known.calls.size === 0) {
    followers.delete(signal)
    signal.removeEventListener('abort', known.abort)
  }
}

/** Begins a call that a signal may end by its key. */
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
  if (typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw fault('INVALID_REQUEST', `signal: expected an AbortSignal, got ${typeName(signal)}`, { ...concern })
  }
  if (signal.aborted) {
    throw aborted(signal, concern)
  }
  let abort = (): void => undefined
  try {
    const call = begin()
    abort = call.abort
    follow(signal, abort)
    return await (call.answer ?? endless)
  } catch (thrown) {
    throw thrown === undefined ? aborted(signal, concern) : translated(thrown)
  } finally {
    unfollow(signal, abort)
  }
}

function aborted(signal: AbortSignal, concern: Concern): Error {
  return fault('CANCELLED', 'the call was aborted by its signal', { ...concern, cause: signal.reason })
}
