/** Which handler runs: so that its calls carry the trace of its event, and so that it does not wait for itself. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { BindingEvent } from './event.js'

/**
 * The event whose trace goes with calls. Entered for events that carry one and no others: from the first time on, Node
 * before version 24 does more for every promise of the process.
 */
export const handled = new AsyncLocalStorage<BindingEvent | undefined>()

/** Calls a handler in a context of its own, which begins as the present one: what it sets there goes with it. */
export function callIn<T>(event: BindingEvent | undefined, handler: (argument: T) => unknown, argument: T): unknown {
  return new AsyncResource('BINDWRIGHT_HANDLER', MANUAL).runInAsyncScope(enter<T>, undefined, event, handler, argument)
}

/** Nobody waits for the end of such a resource. */
const MANUAL = { requireManualDestroy: true }

function enter<T>(event: BindingEvent | undefined, handler: (argument: T) => unknown, argument: T): unknown {
  if (event?.trace) {
    handled.enterWith(event)
  }
  return handler(argument)
}

let marks = 0

/** Tells from the stack, which V8 follows through `await`, who waits for what runs now. */
export class Mark {
  readonly #name = `bindwright handler ${++marks}`

  /** The same work, to be seen on the stack of everything that it awaits. */
  on<T>(work: (argument: T) => Promise<void>): (argument: T) => Promise<void> {
    const marked = async (argument: T): Promise<void> => {
      await work(argument)
    }
    return Object.defineProperty(marked, 'name', { value: this.#name })
  }

  /** Whether such work waits for what runs now. `false` also where that cannot be told, such as in Bun. */
  isWaiting(): boolean {
    const { prepareStackTrace, stackTraceLimit } = Error
    try {
      Error.stackTraceLimit = Number.POSITIVE_INFINITY
      Error.prepareStackTrace = (_error, sites) => sites.map((site) => site.getFunctionName())
      return (new Error().stack as unknown as (string | null)[]).includes(this.#name)
    } catch {
      return false
    } finally {
      Error.stackTraceLimit = stackTraceLimit
      Error.prepareStackTrace = prepareStackTrace
    }
  }
}
