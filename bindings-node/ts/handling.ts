/** Handlers: take a batch, call the handler, settle. */
import { performance } from 'node:perf_hooks'
import * as promised from 'node:timers/promises'
import { callIn, type Mark } from './context.js'
import { typeName } from './data.js'
import { BindingEvent } from './event.js'
import { logFailure } from './logs.js'
import type { NativeSubscription } from './native.js'
import { Outcome, refuseMistaken } from './outcomes.js'
import { Taken } from './taken.js'
import { inSpans } from './tracing.js'

/** Handles one event. Resolving acks it, rejecting has it delivered again, an `Outcome` says otherwise. */
export type Handler = (event: BindingEvent) => unknown

/** What a handler of many events answers: one answer for all, or one for each. */
export type BatchAnswer = Outcome | readonly (Outcome | undefined | null)[] | undefined | null

/** Handles many events at once. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is the usual handler.
export type BatchHandler = (events: BindingEvent[]) => Promise<BatchAnswer | void> | BatchAnswer | void

/** A handler, and the most events that it gets at once (`undefined`: one by one). */
export interface Registration {
  readonly handler: Handler | BatchHandler
  readonly batch: number | undefined
}

/** Events that are taken at once where the handler gets one by one: enough to make taking them cheap. */
const BATCH = 64

/** Milliseconds that handlers which never wait may keep the loop, and that an ack waits for others. */
const TURN_MS = 5

// As they were at first: what is handled must not stand still under the fake timers of a test.
const nextTurn = promised.setImmediate
const later = setTimeout

/** A batch on its way through the handler. */
interface Work {
  readonly batch: Taken
  /** Handled and not told: the places from `told` to `place`. */
  told: number
  place: number
}

/** The events of one binding on their way through its handler. */
export class Handling {
  readonly #name: string
  readonly #workedOff: (first: Taken) => Promise<void>
  #subscription!: NativeSubscription
  readonly #registration: Registration
  readonly #works = new Set<Work>()
  #flushIsDue = false
  #stopping = false

  /** Whoever its handlers wait for sees the mark. */
  constructor(name: string, mark: Mark, registration: Registration) {
    this.#name = name
    this.#workedOff = mark.on((first) =>
      registration.batch === undefined ? this.#workOff(first) : this.#workOffTogether(first),
    )
    this.#registration = registration
  }

  /** Begins to hand out events. */
  begin(subscription: NativeSubscription): void {
    this.#subscription = subscription
    this.#pump().catch((error: unknown) => logFailure(this.#name, 'gets no more events', error))
  }

  async #pump(): Promise<void> {
    const { batch: most = BATCH } = this.#registration
    while (!this.#stopping) {
      const batch = this.#take(most)
      if (batch === null) {
        return
      }
      if (batch.length > 0) {
        this.#start(batch)
      } else {
        await this.#subscription.ready(undefined, false)
      }
    }
  }

  #take(most: number): Taken | null {
    const batch = this.#subscription.take(most)
    return batch && new Taken(batch, this.#subscription.isTimed)
  }

  /** Begins no more events: what is with no handler is given back. */
  stop(): void {
    this.#stopping = true
    this.#flush()
  }

  #start(batch: Taken): void {
    // What a handler throws is dealt with; this is a defect of ours, which nobody should miss.
    this.#workedOff(batch).catch((error: unknown) => logFailure(this.#name, 'could not be called', error))
  }

  /** One after the other, and then whatever else there is. */
  async #workOff(first: Taken): Promise<void> {
    let began = performance.now()
    let now = began
    for (let batch: Taken | null = first; batch !== null && batch.length > 0; ) {
      const work: Work = { batch, told: 0, place: 0 }
      const handler = inSpans(this.#name, this.#registration.handler as Handler)
      this.#works.add(work)
      for (; work.place < batch.length; work.place++) {
        if (this.#stopping) {
          this.#tell(work)
          batch.release(work.place)
          break
        }
        if (batch.begin(work.place, now)) {
          const event = new BindingEvent(this.#name, batch, work.place)
          // Here, and not in a function of its own: each that is awaited costs as much as all the rest.
          try {
            let answer = callIn(batch.isTraced ? event : undefined, handler, event)
            if (isThenable(answer)) {
              if (work.told < work.place) {
                this.#flushSoon()
              }
              answer = await answer
            }
            this.#answered(work, answer)
          } catch (error) {
            this.#failed(work, event, error)
          }
        }
        now = performance.now()
        if (now - began >= TURN_MS) {
          this.#tell(work, work.place + 1)
          await nextTurn()
          began = performance.now()
          now = began
        }
      }
      this.#tell(work)
      this.#works.delete(work)
      batch = this.#stopping ? null : this.#take(BATCH)
    }
  }

  #answered(work: Work, answer: unknown): void {
    if (answer instanceof Outcome && answer !== Outcome.ack) {
      this.#settle(work, answer)
      return
    }
    if (answer !== undefined && answer !== Outcome.ack) {
      refuseMistaken(answer)
    }
    if (work.batch.isTimed) {
      // Where the time of handlers counts, it ends when the outcome is told.
      this.#tell(work, work.place + 1)
    }
  }

  #failed(work: Work, event: BindingEvent, error: unknown): void {
    const follows = event.isSettled
      ? 'the event was settled before'
      : 'the event comes again unless its deliveries are used up'
    logFailure(this.#name, `failed on delivery ${event.attempt}; ${follows}`, error)
    this.#settle(work, Outcome.failed(error))
  }

  /** Tells what is no ack at once: the events behind it must not be begun. */
  #settle(work: Work, outcome: Outcome): void {
    this.#tell(work)
    work.told = work.place + 1
    work.batch.settle(work.place, outcome)
  }

  /** Tells the acks before a place. */
  #tell(work: Work, to = work.place): void {
    if (work.told < to) {
      work.batch.ack(work.told, to)
      work.told = to
    }
  }

  #flushSoon(): void {
    if (!this.#flushIsDue) {
      this.#flushIsDue = true
      later(() => this.#flush(), TURN_MS).unref()
    }
  }

  #flush(): void {
    this.#flushIsDue = false
    for (const work of this.#works) {
      this.#tell(work)
    }
  }

  async #workOffTogether(first: Taken): Promise<void> {
    for (let batch: Taken | null = first; batch !== null && batch.length > 0; ) {
      if (this.#stopping) {
        batch.release(0)
        return
      }
      const places: number[] = []
      const now = performance.now()
      for (let place = 0; place < batch.length; place++) {
        if (batch.begin(place, now)) {
          places.push(place)
        }
      }
      if (places.length > 0) {
        await this.#handleTogether(batch, places)
      }
      await nextTurn()
      batch = this.#stopping ? null : this.#take(this.#registration.batch ?? BATCH)
    }
  }

  async #handleTogether(batch: Taken, places: number[]): Promise<void> {
    const events = places.map((place) => new BindingEvent(this.#name, batch, place))
    const handler = inSpans(this.#name, this.#registration.handler as BatchHandler)
    let outcomes: Outcome[]
    try {
      const answer: unknown = await callIn(undefined, handler, events)
      outcomes = outcomesOf(answer, places.length)
    } catch (error) {
      const follows = 'what it did not settle comes again unless its deliveries are used up'
      logFailure(this.#name, `failed with a batch of ${places.length}; ${follows}`, error)
      outcomes = places.map(() => Outcome.failed(error))
    }
    // Told together: an event that failed must not take back those after it that were handled with it.
    if (outcomes.every((outcome) => outcome === Outcome.ack)) {
      // What was not begun is done with.
      batch.ack(0, batch.length)
    } else {
      batch.settleAll(outcomes.map((outcome, index) => ({ ...outcome.told, place: places[index] as number })))
    }
  }
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return (
    (typeof answer === 'object' || typeof answer === 'function') &&
    typeof (answer as { then?: unknown } | null)?.then === 'function'
  )
}

/**
 * An answer for all, or one for each. Anything else is refused, because what looks like a list of results and is none
 * would ack what was not handled.
 */
function outcomesOf(answer: unknown, count: number): Outcome[] {
  if (answer === undefined || answer === null || answer instanceof Outcome) {
    if (answer instanceof Outcome && answer.told.kind === 'emit') {
      throw new TypeError(
        'the handler returned one Outcome.emit for a batch, which would be sent once for each event: ' +
          'return a list with an entry for each',
      )
    }
    return Array.from({ length: count }, () => answer ?? Outcome.ack)
  }
  if (!Array.isArray(answer)) {
    throw new TypeError(`a handler of batches returns nothing, an Outcome, or a list of them, got ${typeName(answer)}`)
  }
  if (answer.length !== count) {
    throw new TypeError(`the handler was given ${count} events and returned ${answer.length} outcomes`)
  }
  return Array.from(answer, (entry: unknown) => {
    if (entry === undefined || entry === null) {
      return Outcome.ack
    }
    if (!(entry instanceof Outcome)) {
      throw new TypeError(`an entry for an event is an Outcome or nothing, got ${typeName(entry)}`)
    }
    return entry
  })
}
