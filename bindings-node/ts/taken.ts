/** A batch of events, as JavaScript has it: what is asked for several events at once is kept here. */
import type { NativeBatch, NativeOutcome } from './native.js'
import { Outcome } from './outcomes.js'

/** Events that are begun at once, and the milliseconds after which they are asked for again. */
const BEGUN_AT_ONCE = 16
const BEGUN_FOR_MS = 1

/** Bodies that cross at once; the native part bounds their bytes. */
const BODIES_AT_ONCE = 64

/** Counts what may have taken back events that were begun: only acks do not. */
let takenBack = 0

export class Taken {
  readonly length: number
  readonly #native: NativeBatch
  /** Whether the time of handlers counts: then each begins for itself. */
  readonly isTimed: boolean
  /** Whether any of the events carries a trace. */
  readonly isTraced: boolean

  /** Events before this place were asked about, */
  #begunTo = 0
  /** at this time, */
  #begunAt = 0
  /** when so much had been taken back. */
  #begunAfter = 0

  /** Bodies from a place on, and where each ends. */
  #bodies: Buffer | undefined
  #bodiesFrom = 0
  #ends: Int32Array | undefined

  constructor(native: NativeBatch, isTimed: boolean) {
    this.#native = native
    this.length = native.length
    this.isTimed = isTimed
    this.isTraced = native.isTraced
  }

  /**
   * Whether the event is still to be handled; to be asked right before its handler is called, in the order of places.
   * `now` is the time in milliseconds; a call for it at each event would be felt.
   */
  begin(place: number, now: number): boolean {
    if (this.isTimed) {
      return this.#native.begin(place, 1) > 0
    }
    if (place < this.#begunTo && this.#begunAfter === takenBack && now - this.#begunAt < BEGUN_FOR_MS) {
      return true
    }
    const begun = this.#native.begin(place, BEGUN_AT_ONCE)
    this.#begunTo = place + begun
    this.#begunAt = now
    this.#begunAfter = takenBack
    return begun > 0
  }

  /** The data of an event; each time a buffer of its own, or a part of one that belongs to the batch. */
  data(place: number): Buffer | null {
    let end = this.#end(place)
    if (end === undefined) {
      if (!this.#fetchBodies(place)) {
        return this.#native.data(place)
      }
      end = this.#end(place) as number
    }
    if (end < 0) {
      return null
    }
    return (this.#bodies as Buffer).subarray(this.#startOf(place), end)
  }

  /** Where the body of an event ends, if it is here: -1 for none. */
  #end(place: number): number | undefined {
    const end = this.#ends?.[place - this.#bodiesFrom]
    return end === undefined || end === -2 ? undefined : end
  }

  #startOf(place: number): number {
    const ends = this.#ends as Int32Array
    for (let before = place - this.#bodiesFrom - 1; before >= 0; before--) {
      const end = ends[before] as number
      if (end >= 0) {
        return end
      }
    }
    return 0
  }

  #fetchBodies(place: number): boolean {
    const ends = new Int32Array(Math.min(BODIES_AT_ONCE, this.length - place)).fill(-2)
    const bodies = this.#native.bodies(place, ends)
    if (bodies === null || bodies === undefined) {
      return false
    }
    this.#bodies = bodies
    this.#bodiesFrom = place
    this.#ends = ends
    return true
  }

  metadata(place: number): string[] {
    return this.#native.metadata(place)
  }

  attempt(place: number): number {
    return this.#native.attempt(place)
  }

  trace(place: number): string[] | null {
    return this.#native.trace(place)
  }

  /** Acks the events of these places, the last one left out; how many of them still counted. */
  ack(from: number, to: number): number {
    return this.#native.ack(from, to)
  }

  /** Settles an event; whether it still counted. */
  settle(place: number, outcome: Outcome): boolean {
    return (outcome === Outcome.ack ? this.ack(place, place + 1) : this.settleAll([{ ...outcome.told, place }])) > 0
  }

  /** Settles events together; how many of them still counted. */
  settleAll(outcomes: NativeOutcome[]): number {
    takenBack++
    return this.#native.settle(outcomes)
  }

  /** Gives back what is not settled from a place on. */
  release(from: number): void {
    takenBack++
    this.#native.release(from)
  }
}
