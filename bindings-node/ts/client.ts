import { abortable } from './aborting.js'
import { Targets } from './calls.js'
import { type ComponentInfo, componentInfo, type Reload } from './components.js'
import { handled, Mark } from './context.js'
import { checkText, type Data, isCount, optionTime } from './data.js'
import { awaited, BindwrightError, guarded, refused } from './errors.js'
import { Events } from './events.js'
import { type BatchHandler, type Handler, Handling, type Registration } from './handling.js'
import { type CallManyOptions, type CallOptions, invokeAll, invokeOne } from './invoking.js'
import { beginLogging, endLogging } from './logs.js'
import type { InputName, Operation, OutputName } from './names.js'
import { type HandOut, type NativeClient, type NativeSubscription, native } from './native.js'
import { type ClientOptions, checkOptions, nativeOptions, type Transport } from './options.js'
import type { Reply } from './reply.js'
import { hearStopSignals } from './signals.js'

interface Run {
  readonly end: () => void
}

const unclosed = new FinalizationRegistry<() => void>((forget) => forget())

/**
 * Calls bindings and receives events: in this process, or through a sidecar beside it.
 *
 * Opening reads the component documents, or finds out where the sidecar is, and connects to nothing. Opening is cheap, also for every message: clients of
 * the same resources and app id share their connections.
 *
 * @example
 * await using client = await Client.open({ resources: './components' })
 * const reply = await client.invokeBinding('checkout', 'create', { orderId: 1 }, { timeoutMs: 5000 })
 * console.log(reply.metadata.offset)
 */
export class Client implements AsyncDisposable {
  readonly #native: NativeClient
  readonly #forget: () => void
  readonly #targets: Targets
  readonly #handlers = new Map<string, Registration>()
  readonly #handlings = new Map<string, Handling>()
  readonly #begun = new Map<string, Promise<void>>()
  readonly #mark = new Mark()
  readonly #events = new Set<WeakRef<Events>>()
  #runs = new Set<Run>()
  #stopped = false

  private constructor(native: NativeClient, forget: () => void) {
    this.#native = native
    this.#forget = forget
    this.#targets = new Targets((name, operation) => native.target(name, operation))
    unclosed.register(this, forget, this)
  }

  /**
   * Opens a client.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS` for a missing folder or an option that cannot be used,
   * `INVALID_MANIFEST` for two components of one name; with `wait: 'ready'` what `ready()` throws. A fault in one
   * document does not keep the others from being used: see `faults()`.
   */
  static async open(options: ClientOptions = {}): Promise<Client> {
    checkOptions(options)
    const told = nativeOptions(options)
    const waitTimeoutMs = optionTime('waitTimeoutMs', options.waitTimeoutMs)
    const wish = beginLogging(options.logger, options.logLevel)
    const forget = () => endLogging(wish)
    try {
      const opened = guarded(() => native.NativeClient.open(told))
      const client = new Client(opened, forget)
      if (options.wait === 'ready') {
        await client.#readyOrClosed(waitTimeoutMs)
      }
      return client
    } catch (error) {
      forget()
      throw error
    }
  }

  async #readyOrClosed(timeoutMs: number | undefined): Promise<void> {
    try {
      await this.ready({ timeoutMs })
    } catch (error) {
      await this.close({ drainMs: 0 })
      throw error
    }
  }

  /**
   * Runs one operation of the binding `name`; resolves after the backend confirmed it.
   *
   * @param data Bytes (`Buffer`, any typed array, `ArrayBuffer`) are sent verbatim, a string as UTF-8, anything else as
   * JSON. Left out it is empty; `null` is no data at all, a tombstone on Kafka. The caller may change its buffer as
   * soon as this returns.
   * @throws {BindwrightError} `COMPONENT_NOT_FOUND`, `UNSUPPORTED_DIRECTION`, `UNSUPPORTED_OPERATION`,
   * `INVALID_REQUEST`: nothing was sent, and the same call would fail again. `TIMEOUT`, `UNAVAILABLE`, `QUEUE_FULL`:
   * the time was over before anything was sent. `OUTCOME_UNKNOWN`: it was over afterwards. Others as the backend's
   * answer asks for; the table is in docs/errors.md.
   */
  invokeBinding<Name extends OutputName>(
    name: Name,
    operation: Operation<Name>,
    data?: Data,
    options?: CallOptions,
  ): Promise<Reply> {
    return invokeOne(this.#targets, name, operation, data, options)
  }

  /**
   * Runs one operation for many payloads at once; one result for each, in their order. A payload that could not be sent
   * has its error in its place; that error is not thrown. The time is for all of them together.
   *
   * @throws {BindwrightError} What concerns all of them, such as `COMPONENT_NOT_FOUND`.
   */
  invokeMany<Name extends OutputName>(
    name: Name,
    operation: Operation<Name>,
    payloads: Iterable<Data>,
    options?: CallManyOptions,
  ): Promise<(Reply | BindwrightError)[]> {
    return invokeAll(this.#targets, name, operation, payloads, options)
  }

  /**
   * Registers the function that handles the events of the binding `name`. `start()` or `run()` begins it.
   *
   * What the handler returns settles the event: resolving acks it, rejecting (or throwing) has it delivered again, an
   * `Outcome` says otherwise. Events of a partition come one after the other, partitions in parallel, as many as the
   * component's `maxInFlight` allows. Handlers see the `AsyncLocalStorage` values that were set where they were started;
   * what a handler sets is not seen by the next one.
   *
   * With `batch`, the handler gets a list of up to so many events, of several partitions, and returns nothing, an
   * `Outcome` for all, or a list with one for each.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS`: the binding has a handler already, or an argument cannot be used.
   */
  onBinding(name: InputName, handler: Handler): this
  onBinding(name: InputName, handler: BatchHandler, options: { batch: number }): this
  onBinding(name: InputName, handler: Handler | BatchHandler, options?: { batch?: number | undefined }): this {
    const batch = options?.batch
    if (typeof name !== 'string' || typeof handler !== 'function') {
      throw refused('onBinding: expected a name and a function', 'Correct the arguments.')
    }
    if (batch !== undefined && !isCount(batch)) {
      throw refused(`batch: expected a whole number from 1, got ${String(batch)}`, 'Allow at least one event.')
    }
    if (isGenerator(handler)) {
      const message = `binding ${JSON.stringify(name)}: the handler is a generator, which nobody would run`
      throw refused(message, 'Use a function.')
    }
    if (this.#handlers.has(name)) {
      throw refused(`binding ${JSON.stringify(name)} has a handler already`, 'Register one function for a binding.')
    }
    this.#handlers.set(name, { handler, batch })
    return this
  }

  /**
   * Receives the events of the binding `name` one by one, settling each yourself.
   *
   * @example
   * for await (const event of client.events('orders')) {
   *   console.log(event.json())
   *   event.ack()
   * }
   */
  events(name: InputName): Events {
    checkText('events', name)
    const events = new Events(name, () => this.#subscribe(name, 'freely'))
    for (const known of this.#events) {
      if (known.deref() === undefined) {
        this.#events.delete(known)
      }
    }
    this.#events.add(new WeakRef(events))
    return events
  }

  /**
   * Begins the registered handlers, which run until `close()`. Starting again begins those that were registered since.
   * They do not keep the process alive, and signals are left to the program; `run()` does both.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS`: no handler is registered. `COMPONENT_NOT_FOUND`,
   * `UNSUPPORTED_DIRECTION`, `INVALID_SETTINGS`: a binding with a handler cannot be subscribed to.
   */
  async start(): Promise<void> {
    if (this.#handlers.size === 0) {
      throw refused('no handler is registered', 'Register one with `client.onBinding(name, handler)` first.')
    }
    for (const [name, registration] of this.#handlers) {
      const begun = this.#begun.get(name) ?? this.#begin(name, registration)
      // Noted at once: whoever starts at the same time must not begin it twice, and hears how it ends.
      this.#begun.set(name, begun)
      await begun
    }
  }

  async #begin(name: string, registration: Registration): Promise<void> {
    const handling = new Handling(name, this.#mark, registration)
    this.#handlings.set(name, handling)
    try {
      const subscription = await this.#subscribe(name, registration.batch === undefined ? 'events' : 'batches')
      // Whoever starts handlers in a handler passes on its context, but not the trace of its event.
      handled.run(undefined, () => handling.begin(subscription))
    } catch (error) {
      this.#handlings.delete(name)
      this.#begun.delete(name)
      throw error
    }
  }

  #subscribe(name: string, handOut: HandOut): Promise<NativeSubscription> {
    return awaited(() => this.#native.subscribe(name, handOut))
  }

  /**
   * Runs the registered handlers until SIGTERM, SIGINT (Ctrl-C) or `stop()`, then drains and closes.
   *
   * Draining means: no more events are begun, and those that were begun have up to `drainMs` (10,000 when left out). A
   * second signal ends the program at once. Signals are heeded on the main thread only. Keeps the process alive.
   *
   * @throws {BindwrightError} As `start()` and `close()`.
   */
  async run(options?: { drainMs?: number | undefined }): Promise<void> {
    const drainMs = optionTime('drainMs', options?.drainMs)
    let end: () => void = () => undefined
    const over = new Promise<void>((resolve) => {
      end = resolve
    })
    const run: Run = { end }
    // A promise alone does not keep a process alive.
    const alive = setInterval(() => undefined, 2 ** 31 - 1)
    const unhear = hearStopSignals(() => this.stop())
    this.#runs.add(run)
    try {
      await this.start()
      if (!this.#stopped) {
        await over
      }
    } finally {
      this.#runs.delete(run)
      try {
        await this.close({ drainMs })
      } finally {
        unhear()
        clearInterval(alive)
      }
    }
  }

  /** Lets `run()` drain and return. For handlers and everything else; does not wait. */
  stop(): void {
    this.#stopped = true
    for (const run of this.#runs) {
      run.end()
    }
  }

  /**
   * All components in scope and how they are, by name. A sidecar is asked, and waited for as long as a call is.
   *
   * @throws {BindwrightError} Through a sidecar those of a call that does not reach it.
   */
  async components(): Promise<ComponentInfo[]> {
    return (await awaited(() => this.#native.components())).map(componentInfo)
  }

  /** Documents that were left out and settings that look wrong, as errors that were not thrown. */
  faults(): BindwrightError[] {
    return guarded(() => this.#native.faults()).map((parts) => new BindwrightError(parts))
  }

  /**
   * Adds the components of a YAML text, all or none of them, and gives their names. They belong to this client, take
   * precedence over components of the same name in the files, and are closed with the client.
   *
   * @throws {BindwrightError} `INVALID_MANIFEST`, `INVALID_SETTINGS`, `UNKNOWN_TYPE`, `CLOSED`.
   */
  addComponent(text: string): string[] {
    checkText('addComponent', text)
    return guarded(() => this.#native.addComponent(text))
  }

  /**
   * Removes a component that was added, or hides one of the files from this client. Calls under way finish;
   * subscriptions wait for the name to come back.
   *
   * @throws {BindwrightError} `COMPONENT_NOT_FOUND`, `CLOSED`.
   */
  removeComponent(name: string): void {
    checkText('removeComponent', name)
    guarded(() => this.#native.removeComponent(name))
  }

  /**
   * Opens every component that can send, and waits until each works, for up to `timeoutMs` (30,000 when left out).
   *
   * @throws {BindwrightError} The error of the first component that failed; when the time is over before that,
   * `UNAVAILABLE` or `TIMEOUT`. The client stays usable: what is not ready yet goes on connecting.
   */
  async ready(options?: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined }): Promise<void> {
    const timeoutMs = optionTime('timeoutMs', options?.timeoutMs)
    const signal = options?.signal ?? undefined
    if (signal !== undefined) {
      return abortable(signal, {}, (key) => this.#native.ready(key, timeoutMs))
    }
    await awaited(() => this.#native.ready(undefined, timeoutMs))
  }

  /**
   * Looks at the resource files now, instead of within two seconds, and applies what they say.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS` when hot reload is off, `CLOSED`.
   */
  async reload(): Promise<Reload> {
    const { faults, ...names } = await awaited(() => this.#native.reload())
    return { ...names, faults: faults.map((parts) => new BindwrightError(parts)) }
  }

  /**
   * Receives no more events, waits up to `drainMs` (10,000 when left out) for handlers and calls, records what was
   * settled and disconnects. What is not settled comes again. Closing twice is fine.
   *
   * @throws {BindwrightError} `INVALID_OPTIONS`: called in a handler, for which it would wait; `stop()` is for that.
   * Others: something settled could not be recorded; it will be delivered again.
   */
  async close(options?: { drainMs?: number | undefined }): Promise<void> {
    const drainMs = optionTime('drainMs', options?.drainMs)
    if (this.#handlings.size > 0 && this.#mark.isWaiting()) {
      const message = 'close() in a handler would wait for that handler'
      throw refused(message, 'Call stop(), and close the client where it was opened.')
    }
    this.stop()
    this.#begun.clear()
    for (const handling of this.#handlings.values()) {
      handling.stop()
    }
    for (const events of this.#events) {
      events.deref()?.stop()
    }
    try {
      await awaited(() => this.#native.close(drainMs))
    } finally {
      unclosed.unregister(this)
      this.#forget()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The way that was chosen. */
  get transport(): Transport {
    return this.#native.transport
  }
}

function isGenerator(handler: object): boolean {
  return /Generator/.test(Object.prototype.toString.call(handler))
}
