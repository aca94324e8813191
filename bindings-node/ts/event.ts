import { Content } from './content.js'
import { unflatten } from './data.js'
import { guarded } from './errors.js'
import { type Emission, Outcome } from './outcomes.js'
import type { Taken } from './taken.js'

/**
 * One delivery of one message that an input binding received.
 *
 * In a handler, what the handler returns settles the event; `ack()`, `retry()`, `drop()`, `deadLetter()` and `emit()`
 * settle it earlier. From `client.events(…)` these methods are the only way. The first settlement counts. Each returns
 * at once, and says whether this delivery still counted: `false` when it was settled before, or was taken back because
 * an earlier event of its partition failed or the partition went to another consumer.
 */
export class BindingEvent extends Content {
  /** The name of the component that received it. */
  readonly binding: string
  readonly #batch: Taken
  readonly #place: number
  #data: Buffer | null | undefined
  #metadata: Readonly<Record<string, string>> | undefined
  #trace: readonly string[] | null | undefined
  #settled = false

  /** @internal */
  constructor(binding: string, batch: Taken, place: number) {
    super()
    this.binding = binding
    this.#batch = batch
    this.#place = place
  }

  /** The bytes; `null` for a message without a value, such as a tombstone on Kafka. Copied when first asked for. */
  override get data(): Buffer | null {
    if (this.#data === undefined) {
      this.#data = this.#batch.data(this.#place)
    }
    return this.#data
  }

  /** Names and values, as the component's documentation lists them. */
  override get metadata(): Readonly<Record<string, string>> {
    this.#metadata ??= unflatten(this.#batch.metadata(this.#place))
    return this.#metadata
  }

  /**
   * How often it has been delivered, this delivery included: 1 the first time. What was delivered before a restart or
   * by another process counts where the backend counts deliveries; Kafka does not.
   */
  get attempt(): number {
    return this.#batch.attempt(this.#place)
  }

  /** The trace that the sender was in, where the message carries a valid `traceparent`. */
  get traceparent(): string | undefined {
    return this.trace?.[0]
  }

  /** @internal `traceparent` and `tracestate`. */
  get trace(): readonly string[] | null {
    if (this.#trace === undefined) {
      this.#trace = this.#batch.trace(this.#place)
    }
    return this.#trace
  }

  /** @internal Whether one of the methods below was called. */
  get isSettled(): boolean {
    return this.#settled
  }

  /** Settles it as handled: it does not come again. */
  ack(): boolean {
    return this.#settle(Outcome.ack)
  }

  /** Settles it as not handled: it comes again, in its place, after the pause; see `Outcome.retry`. */
  retry(afterMs?: number): boolean {
    return this.#settle(Outcome.retry(afterMs))
  }

  /** Settles it as given up on purpose: it does not come again. */
  drop(): boolean {
    return this.#settle(Outcome.drop)
  }

  /** Settles it as given up on purpose and sent to the component's `deadLetterBinding`; see `Outcome.deadLetter`. */
  deadLetter(cause?: Error | string): boolean {
    return this.#settle(Outcome.deadLetter(cause))
  }

  /** Settles it as handled once these invocations were confirmed; see `Outcome.emit`. */
  emit(...emissions: Emission[]): boolean {
    return this.#settle(Outcome.emit(...emissions))
  }

  #settle(outcome: Outcome): boolean {
    this.#settled = true
    return guarded(() => this.#batch.settle(this.#place, outcome))
  }
}
