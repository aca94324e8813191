/** Which handler runs: so that its calls carry the trace of its event, and so that it does not wait for itself. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { BindingEvent } from './event.js'

/** One call of a handler. */
export interface Handled {
  /** The client that it belongs to. */
  readonly owner: object
  /** The event, for a handler of single ones. */
  readonly event: BindingEvent | undefined
  /** Whether the handler has not ended. */
  active: boolean
}

/** What runs now; every handler gets a context of its own. */
export const handled = new AsyncLocalStorage<Handled | undefined>()

/** Calls a handler in a context of its own, which begins as the present one: what it sets there goes with it. */
export function callIn<T>(call: Handled, handler: (argument: T) => unknown, argument: T): unknown {
  return new AsyncResource('BINDWRIGHT_HANDLER', MANUAL).runInAsyncScope(enter<T>, undefined, call, handler, argument)
}

/** Nobody waits for the end of such a resource. */
const MANUAL = { requireManualDestroy: true }

function enter<T>(call: Handled, handler: (argument: T) => unknown, argument: T): unknown {
  handled.enterWith(call)
  return handler(argument)
}
