/**
 * In-memory fakes in place of every component, for unit tests of programs that use bindings.
 *
 * While a `Sandbox` is open, every client that is opened in the process gets a fake for each component of its
 * resources, whatever its type, and whether or not its secrets and servers are there. Documents, policies, the order
 * and redelivery of events and the texts of errors are real.
 *
 * @example
 * using sandbox = new Sandbox()
 * sandbox.fail('checkout', 'UNAVAILABLE')
 * await assert.rejects(placeOrder(1), { code: 'UNAVAILABLE' })
 *
 * @packageDocumentation
 */
import type { ErrorCode } from './codes.js'
import { Content } from './content.js'
import { bytesOf, type Data, flatten, isCount, type Metadata, optionTime, unflatten } from './data.js'
import { awaited, BindwrightError, guarded, refused } from './errors.js'
import {
  type AnswerConditions,
  type FunctionAnswer,
  type InvocationParts,
  type NativePushedEvent,
  type NativeSandbox,
  native,
  type ProgressParts,
} from './native.js'

/** How long the methods that wait do so when nobody says otherwise. */
const PATIENCE_MS = 5000

/** One attempt of a call, as a fake saw it. */
export class Invocation extends Content {
  /** The component's name. */
  readonly binding: string
  /** What was asked: `create`, `get`, … */
  readonly operation: string
  /** The data as it was sent; `null` for no data at all. */
  override readonly data: Buffer | null
  /** Names and values. */
  override readonly metadata: Readonly<Record<string, string>>
  /** The code of the error that it was answered with, `CANCELLED` when the caller gave up before. */
  readonly error: ErrorCode | undefined

  /** @internal */
  constructor(parts: InvocationParts) {
    super()
    this.binding = parts.binding
    this.operation = parts.operation
    this.data = parts.data
    this.metadata = unflatten(parts.metadata)
    this.error = parts.error
  }
}

/** What a function given to `Sandbox.reply` may return: data, as in `invokeBinding`, and metadata. */
export class Answer {
  readonly data: Data
  readonly metadata: Metadata | undefined

  constructor(data: Data = null, metadata?: Metadata) {
    this.data = data
    this.metadata = metadata
  }
}

/** How far a pushed event is. */
export interface Progress {
  /** Deliveries that a handler ended, or whose time was over. */
  readonly deliveries: number
  /** How it came to its end; left out while it has not. */
  readonly ending?: 'ack' | 'drop' | 'deadLetter' | 'emit' | 'held'
  /** Why the last delivery that failed did so: a short name, such as that of an error's class, and what happened. */
  readonly cause?: { readonly code: string; readonly text: string }
}

/** For which calls an answer is, and how late it is given. */
export interface AnswerOptions {
  /** Only calls of this operation. */
  operation?: string | undefined
  /** Only the next so many calls, attempts of policies included. */
  times?: number | undefined
  /** The answer takes so long; past the call's deadline the call ends with `TIMEOUT`. */
  delayMs?: number | undefined
}

/** An event that a test pushed; made by `Sandbox.push`. */
export class PushedEvent {
  readonly #native: NativePushedEvent

  /** @internal */
  constructor(pushed: NativePushedEvent) {
    this.#native = pushed
  }

  /** How far it is now. */
  get progress(): Progress {
    return progressOf(this.#native.progress())
  }

  /**
   * Waits until it is settled, or holds its place for want of a way out. With `deliveries`: until so many of them are
   * over, for an event that comes again and again.
   *
   * @throws {BindwrightError} `TIMEOUT`: `timeoutMs` (5,000 when left out) was over first; the text tells how far it
   * is. `CLOSED`: the sandbox ended.
   */
  async wait(options: { timeoutMs?: number | undefined; deliveries?: number | undefined } = {}): Promise<Progress> {
    const timeoutMs = optionTime('timeoutMs', options.timeoutMs) ?? PATIENCE_MS
    const { deliveries } = options
    if (deliveries !== undefined && !isCount(deliveries)) {
      throw refused(`deliveries: expected a whole number from 1, got ${String(deliveries)}`, 'Correct the option.')
    }
    return progressOf(await awaited(() => this.#native.wait(deliveries, timeoutMs)))
  }
}

/**
 * Fakes in place of every component of the clients that are opened while it is open.
 *
 * One at a time in a process. Clients that were opened before keep their real components. Those opened inside keep their
 * fakes when it ends; then their calls fail with `CLOSED`, and they receive nothing. Names need not be known: answers
 * and events may be given before a client is opened.
 */
export class Sandbox implements Disposable {
  readonly #native: NativeSandbox

  /**
   * Opens it.
   *
   * @param options `longestPauseMs`: no pause before another attempt of a call or another delivery of an event is
   * longer, whatever policies, settings and handlers ask for; 10 ms when left out.
   * @throws {BindwrightError} `INVALID_OPTIONS`: there is a sandbox in this process already.
   */
  constructor(options: { longestPauseMs?: number | undefined } = {}) {
    const longestPauseMs = optionTime('longestPauseMs', options.longestPauseMs)
    this.#native = guarded(() => native.NativeSandbox.open(longestPauseMs))
  }

  /**
   * What was sent, to one binding or to all of them: every attempt that was answered, in the order in which they began;
   * dead letters and emissions are among them. They are kept until `forget()`, also after the sandbox has ended.
   */
  invocations(binding?: string): Invocation[] {
    return guarded(() => this.#native.invocations(binding)).map((parts) => new Invocation(parts))
  }

  /** Forgets what was sent so far. */
  forget(): void {
    guarded(() => this.#native.forget())
  }

  /**
   * Waits until so many attempts of a binding were answered (1 when left out), or of one operation of it; gives all
   * there are by then.
   *
   * @throws {BindwrightError} `TIMEOUT`: there were fewer after `timeoutMs` (5,000 when left out); the text tells what
   * there was instead. `CLOSED`: the sandbox ended.
   */
  async waitFor(
    binding: string,
    options: { count?: number | undefined; operation?: string | undefined; timeoutMs?: number | undefined } = {},
  ): Promise<Invocation[]> {
    const { count = 1, operation } = options
    if (!isCount(count)) {
      throw refused(`count: expected a whole number from 1, got ${String(count)}`, 'Correct the option.')
    }
    const timeoutMs = optionTime('timeoutMs', options.timeoutMs) ?? PATIENCE_MS
    const found = await awaited(() => this.#native.waitFor(binding, operation, count, timeoutMs))
    return found.map((parts) => new Invocation(parts))
  }

  /**
   * Lets calls of a binding succeed with this; without being told, they succeed without data.
   *
   * @param answer Data as in `invokeBinding`, an `Answer` with metadata, or a function that gets the `Invocation` and
   * returns either; a `BindwrightError` that it throws is what the caller gets, by its code. The function must not be
   * async. Answers for a number of times are used up first, in their order; of the others the last one counts for its
   * operation, and one for an operation before one for all.
   * @throws {BindwrightError} `INVALID_OPTIONS`: a number is out of range. `INVALID_REQUEST`: it cannot be sent.
   */
  reply(binding: string, answer: (invocation: Invocation) => unknown, options?: AnswerOptions): void
  reply(binding: string, answer: Data, options?: AnswerOptions): void
  reply(binding: string, answer: Data, options: AnswerOptions = {}): void {
    const conditions = conditionsOf(options)
    if (typeof answer === 'function') {
      const function_ = answer as (invocation: Invocation) => unknown
      const ask = (parts: InvocationParts): FunctionAnswer => asked(binding, function_, new Invocation(parts))
      guarded(() => this.#native.replyWith(binding, ask, conditions))
      return
    }
    const { data, metadata } = answerParts(binding, answer)
    guarded(() => this.#native.reply(binding, data, metadata, conditions))
  }

  /**
   * Lets calls of a binding fail: the next one, the next `times`, or all of them with `times: Infinity`. Whether trying
   * again can help follows from the code, so policies retry it or not as they would outside.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS`: there is no such code, or a number is out of range.
   */
  fail(binding: string, code: ErrorCode, options: AnswerOptions & { message?: string | undefined } = {}): void {
    const { message, ...rest } = options
    const conditions = conditionsOf({ ...rest, times: rest.times ?? 1 })
    guarded(() => this.#native.fail(binding, code, message, conditions))
  }

  /**
   * Has a binding receive an event; does not wait for a handler. Metadata arrives as given: what a real component would
   * add, such as Kafka's `__offset`, is yours to give. A binding has one partition here; `key` counts where the
   * component says `orderBy: key`.
   *
   * @throws {BindwrightError} `CLOSED`: the sandbox ended. `INVALID_REQUEST`: it cannot be sent.
   */
  push(
    binding: string,
    data?: Data,
    options: { metadata?: Metadata | undefined; key?: string | undefined } = {},
  ): PushedEvent {
    const sender = { component: binding, operation: 'push' }
    const bytes = bytesOf(data, sender)
    const flat = flatten(options.metadata, sender)
    return new PushedEvent(guarded(() => this.#native.push(binding, bytes, flat, options.key)))
  }

  /** Ends it. Ending it twice is fine. */
  close(): void {
    guarded(() => this.#native.end())
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function progressOf(parts: ProgressParts): Progress {
  const { deliveries, ending, cause } = parts
  return {
    deliveries,
    ...(ending !== undefined && { ending: ending === 'dead_letter' ? 'deadLetter' : ending }),
    ...(cause !== undefined && { cause: { code: cause[0], text: cause[1] } }),
  }
}

function conditionsOf(options: AnswerOptions): AnswerConditions {
  const { operation, times } = options
  if (times !== undefined && times !== Number.POSITIVE_INFINITY && !isCount(times)) {
    throw refused(`times: expected a whole number from 1, or Infinity, got ${String(times)}`, 'Correct the option.')
  }
  const delayMs = optionTime('delayMs', options.delayMs)
  return { operation, delayMs, times: times === Number.POSITIVE_INFINITY ? undefined : times }
}

function answerParts(
  binding: string,
  answer: unknown,
): { data: Uint8Array | undefined; metadata: string[] | undefined } {
  const sender = { component: binding, operation: 'reply' }
  const { data, metadata } = answer instanceof Answer ? answer : new Answer(answer ?? null)
  return { data: bytesOf(data, sender), metadata: flatten(metadata, sender) }
}

/** What a function of the test answers; it must not throw into the native part. */
function asked(binding: string, answer: (invocation: Invocation) => unknown, invocation: Invocation): FunctionAnswer {
  try {
    const given = answer(invocation)
    if (given instanceof Promise) {
      given.catch(() => undefined)
      throw new TypeError('it returned a promise, which nobody would await: give a plain function')
    }
    return answerParts(binding, given)
  } catch (error) {
    if (error instanceof BindwrightError) {
      return { code: error.code, message: error.summary }
    }
    return { code: 'INTERNAL', message: `the function that replies threw ${String(error)}` }
  }
}
