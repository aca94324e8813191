/** How an event ends: what handlers return, and what the methods of an event tell. */
import { types } from 'node:util'
import { type Data, flatten, type Metadata, payloadOf, timeOf, typeName } from './data.js'
import { BindwrightError, fault } from './errors.js'
import type { Operation, OutputName } from './names.js'
import type { NativeEmission, NativeOutcome } from './native.js'

/** The most characters of an error's text that go into a dead letter. */
const MAX_CAUSE_CHARS = 1000

/** An invocation that a handler asks for in its outcome. */
export interface Emission {
  /** The component's name. */
  readonly binding: OutputName
  /** What it is asked to do; `create` when left out. */
  readonly operation?: Operation | undefined
  /** What is sent, as in `invokeBinding`. */
  readonly data?: Data | undefined
  /** Names and values. The event's trace context goes along unless one is given. */
  readonly metadata?: Metadata | undefined
}

/** An outcome without its place. */
type Told = Omit<NativeOutcome, 'place'>

/** What a handler may return to settle its event otherwise than by ack. */
export class Outcome {
  /** @internal */
  readonly told: Told

  private constructor(told: Told) {
    this.told = told
  }

  /** Handled: it does not come again. Also what any other value of a handler means. */
  static readonly ack: Outcome = new Outcome({ kind: 'ack' })

  /** Given up on purpose: it does not come again. */
  static readonly drop: Outcome = new Outcome({ kind: 'drop' })

  /**
   * Not handled: it comes again, in its place, and before everything after it.
   *
   * @param afterMs The pause; without one the component's back-off decides. After `maxDeliveryCount` deliveries the
   * event becomes a dead letter instead, or holds its place where the component has no `deadLetterBinding`.
   */
  static retry(afterMs?: number): Outcome {
    const pause = timeOf('afterMs', afterMs, { component: 'Outcome', operation: 'retry' })
    return new Outcome({ kind: 'retry', afterMs: pause })
  }

  /**
   * Given up on purpose, and sent to the component's `deadLetterBinding`: settled after that binding confirmed it.
   * Without such a binding the event holds its partition (its key, with `orderBy: key`) and the component is degraded.
   *
   * @param cause An error or a text. It travels in the dead letter's metadata: `deadLetterCode` is the error's class,
   * of a `BindwrightError` its `code`, of a text `REJECTED`; `deadLetterCause` is the text, of which 1,000 characters
   * count. It should hold no secret.
   */
  static deadLetter(cause?: Error | string): Outcome {
    return new Outcome({ kind: 'deadLetter', cause: causeOf(cause) })
  }

  /**
   * Handled, and these invocations follow from it: they are made in their order, and the event is settled after all of
   * them were confirmed. Where one fails, this delivery failed: the event comes again, and the earlier ones are made
   * again.
   */
  static emit(...emissions: Emission[]): Outcome {
    return new Outcome({ kind: 'emit', emissions: emissions.map(emissionParts) })
  }

  /** @internal What a handler threw. */
  static failed(error: unknown): Outcome {
    return new Outcome({ kind: 'retry', cause: causeOfFailure(error) })
  }
}

function emissionParts(emission: Emission): NativeEmission {
  if (typeof emission !== 'object' || emission === null || typeof emission.binding !== 'string') {
    throw fault('INVALID_REQUEST', 'emit: expected objects with a binding', { component: 'Outcome', operation: 'emit' })
  }
  const { binding, operation = 'create', metadata } = emission
  const sender = { component: binding, operation }
  return { binding, operation, data: payloadOf(emission.data, sender), metadata: flatten(metadata, sender) }
}

function causeOf(cause: unknown): [string, string] | undefined {
  if (cause === undefined) {
    return undefined
  }
  if (typeof cause === 'string') {
    return ['REJECTED', shortened(cause)]
  }
  if (cause instanceof Error) {
    return causeOfFailure(cause)
  }
  const message = `cause: expected an Error or a string, got ${typeName(cause)}`
  throw fault('INVALID_REQUEST', message, { component: 'Outcome', operation: 'deadLetter' })
}

/** What an error tells about a delivery that failed. Anything may be thrown, also what cannot be made a text. */
export function causeOfFailure(error: unknown): [string, string] {
  try {
    if (error instanceof BindwrightError) {
      return [error.code, shortened(String(error.message))]
    }
    // What Node itself throws is of another realm where tests run in one of their own, as with Jest.
    if (error instanceof Error || types.isNativeError(error)) {
      return [String(error.name), shortened(String(error.message))]
    }
    return [typeName(error), shortened(String(error))]
  } catch {
    return [typeName(error), 'what was thrown has no text']
  }
}

/** The outcomes that have to be called. */
const MAKERS = ['retry', 'deadLetter', 'emit'] as const

/** Refuses what looks like an outcome and is none: as any other value it would ack what was to come again. */
export function refuseMistaken(answer: unknown): void {
  if (typeof answer === 'function') {
    for (const name of MAKERS) {
      if (answer === Outcome[name]) {
        throw new TypeError(`the handler returned Outcome.${name} itself: call it, as in \`return Outcome.${name}()\``)
      }
    }
  } else if (typeof answer === 'object' && answer !== null && typeName(answer) === Outcome.name && 'told' in answer) {
    throw new TypeError('the handler returned an Outcome of another copy of bindwright: import both from one')
  }
}

function shortened(text: string): string {
  const characters = Array.from(text.slice(0, 2 * MAX_CAUSE_CHARS + 2))
  return characters.length > MAX_CAUSE_CHARS ? `${characters.slice(0, MAX_CAUSE_CHARS).join('')}…` : text
}
