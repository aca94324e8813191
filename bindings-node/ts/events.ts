/** Receiving events one by one, for programs that settle them in their own time. */
import { performance } from 'node:perf_hooks'
import { optionTime } from './data.js'
import { awaited } from './errors.js'
import { BindingEvent } from './event.js'
import type { NativeSubscription } from './native.js'
import { Taken } from './taken.js'

/** Events that are taken at once. */
const PREFETCH = 64

/**
 * The events of one binding, as an async iterable; made by `client.events(name)`.
 *
 * Leaving `for await` ends it, as `close()` does. What is not settled comes again.
 */
export class Events implements AsyncIterableIterator<BindingEvent>, AsyncDisposable {
  readonly #name: string
  readonly #subscribe: () => Promise<NativeSubscription>
  #subscribing: Promise<NativeSubscription> | undefined
  #subscription: NativeSubscription | undefined
  #batch: Taken | undefined
  #place = 0
  #ended = false
  /** Callers of `next` take turns. */
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** @internal */
  constructor(name: string, subscribe: () => Promise<NativeSubscription>) {
    this.#name = name
    this.#subscribe = subscribe
  }

  /** Subscribes, if that was not done; `next` does it, too. */
  async open(): Promise<this> {
    if (!this.#ended) {
      await this.#attached()
    }
    return this
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next event; waits for one, and keeps the process alive meanwhile. */
  next(): Promise<IteratorResult<BindingEvent, undefined>> {
    const event = this.#waiting === 0 && !this.#ended ? this.#prefetched() : undefined
    return event === undefined ? this.#nextInTurn() : Promise.resolve({ done: false, value: event })
  }

  async #nextInTurn(): Promise<IteratorResult<BindingEvent, undefined>> {
    this.#waiting++
    const before = this.#turn
    let done = (): void => undefined
    this.#turn = new Promise<void>((resolve) => {
      done = resolve
    })
    await before
    try {
      const event = await this.#pull()
      return event === undefined ? { done: true, value: undefined } : { done: false, value: event }
    } finally {
      this.#waiting--
      done()
    }
  }

  async #pull(): Promise<BindingEvent | undefined> {
    if (this.#ended) {
      return undefined
    }
    const subscription = await this.#attached()
    while (!this.#ended) {
      const event = this.#prefetched()
      if (event !== undefined) {
        return event
      }
      const batch = subscription.take(PREFETCH)
      if (batch === null) {
        return undefined
      }
      this.#batch = new Taken(batch, subscription.isTimed)
      this.#place = 0
      if (batch.length === 0) {
        await subscription.ready(undefined, true)
      }
    }
    return undefined
  }

  /** The next event that was taken before and still counts. */
  #prefetched(): BindingEvent | undefined {
    const batch = this.#batch
    while (batch !== undefined && this.#place < batch.length) {
      const place = this.#place++
      if (batch.begin(place, performance.now())) {
        return new BindingEvent(this.#name, batch, place)
      }
    }
    // The program's events keep the batch as long as they are there.
    this.#batch = undefined
    return undefined
  }

  async #attached(): Promise<NativeSubscription> {
    try {
      this.#subscribing ??= this.#subscribe()
      this.#subscription = await this.#subscribing
      return this.#subscription
    } catch (thrown) {
      this.#subscribing = undefined
      throw thrown
    }
  }

  /** @internal Begins no more events, and gives back what was not iterated over. */
  stop(): void {
    this.#ended = true
    this.#batch?.release(this.#place)
    this.#batch = undefined
  }

  /** Ends the iteration; see `close`. */
  async return(): Promise<IteratorResult<BindingEvent, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  /**
   * Stops receiving: gives back what was not iterated over, waits up to `drainMs` (0 when left out) until events that
   * the program still has are settled, and leaves. What is not settled comes again. Closing twice is fine.
   *
   * @throws {BindwrightError} Something settled could not be recorded; it will be delivered again.
   */
  async close(options?: { drainMs?: number | undefined }): Promise<void> {
    const drainMs = optionTime('drainMs', options?.drainMs) ?? 0
    this.stop()
    const subscribing = this.#subscribing
    if (subscribing !== undefined) {
      const subscription = await subscribing
      await awaited(() => subscription.close(drainMs))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
