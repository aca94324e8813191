/**
 * The names of Dapr's JavaScript SDK, for programs that come from there: change the import from `@dapr/dapr` to
 * `bindwright/dapr`. Bindings only, in this process: hosts and ports are accepted and mean nothing.
 *
 * @packageDocumentation
 */
import { Client } from './client.js'
import type { Metadata } from './data.js'
import { refused } from './errors.js'
import type { BindingEvent } from './event.js'
import type { ClientOptions } from './options.js'
import type { Reply } from './reply.js'

/** As in the SDK; both are the same here. */
export enum CommunicationProtocolEnum {
  GRPC = 0,
  HTTP = 1,
}

/** What the SDK's client is told. Of it only `bindwright` counts here. */
export interface DaprClientOptions {
  daprHost?: string
  daprPort?: string
  communicationProtocol?: CommunicationProtocolEnum
  /** Options of `Client.open`, such as `resources`. */
  bindwright?: ClientOptions
  [other: string]: unknown
}

/** What the SDK's server is told. Of it only the client's `bindwright` counts here. */
export interface DaprServerOptions {
  serverHost?: string
  serverPort?: string
  communicationProtocol?: CommunicationProtocolEnum
  clientOptions?: DaprClientOptions
  [other: string]: unknown
}

/** Parts of the SDK that are not bindings. */
const ELSEWHERE = [
  'actor',
  'configuration',
  'crypto',
  'health',
  'invoker',
  'jobs',
  'lock',
  'metadata',
  'proxy',
  'pubsub',
  'secret',
  'sidecar',
  'state',
  'workflow',
]

/** Sends. */
export interface ClientBinding {
  /**
   * Calls an output binding. Bytes are sent verbatim, any other value as JSON, also a string, as the SDK does.
   *
   * @returns The reply: parsed where it is JSON, else as text; `''` where there is none.
   */
  send(bindingName: string, operation: string, data?: unknown, metadata?: Metadata): Promise<unknown>
}

/** Receives. */
export interface ServerBinding {
  /** Registers the function that gets the events of an input binding: parsed where they are JSON, else as text. */
  receive(bindingName: string, callback: (data: unknown) => unknown): Promise<void>
}

/** The SDK's client, as far as bindings go. */
export class DaprClient {
  readonly options: DaprClientOptions
  readonly binding: ClientBinding
  #opening: Promise<Client> | undefined

  constructor(options?: DaprClientOptions)
  /** As in older versions of the SDK. */
  constructor(daprHost: string, daprPort?: string, protocol?: CommunicationProtocolEnum, options?: DaprClientOptions)
  constructor(
    first: DaprClientOptions | string = {},
    daprPort?: string,
    protocol?: CommunicationProtocolEnum,
    last: DaprClientOptions = {},
  ) {
    this.options = typeof first === 'string' ? positional(last, first, daprPort, protocol) : first
    this.binding = {
      send: async (name, operation, data, metadata) => {
        const client = await this.open()
        const options = metadata === undefined ? {} : { metadata }
        return received(await client.invokeBinding(name, operation, encoded(data), options))
      },
    }
  }

  /** @internal The client behind it, opened when it is first used. */
  open(): Promise<Client> {
    this.#opening ??= Client.open(this.options.bindwright)
    return this.#opening
  }

  /** Opens the client. `send` does so, too. */
  async start(): Promise<void> {
    await this.open()
  }

  /** Closes the client. */
  async stop(): Promise<void> {
    const opening = this.#opening
    this.#opening = undefined
    await (await opening)?.close()
  }

  /** Whether the client is open. */
  getIsInitialized(): boolean {
    return this.#opening !== undefined
  }
}

/** The SDK's server, as far as bindings go. It listens on no port: events come into the process. */
export class DaprServer {
  readonly client: DaprClient
  readonly binding: ServerBinding
  #isStarted = false
  #alive: NodeJS.Timeout | undefined

  constructor(options?: DaprServerOptions)
  /** As in older versions of the SDK. */
  constructor(
    serverHost: string,
    serverPort?: string,
    daprHost?: string,
    daprPort?: string,
    protocol?: CommunicationProtocolEnum,
    clientOptions?: DaprClientOptions,
  )
  constructor(
    first: DaprServerOptions | string = {},
    _serverPort?: string,
    _daprHost?: string,
    _daprPort?: string,
    _protocol?: CommunicationProtocolEnum,
    clientOptions: DaprClientOptions = {},
  ) {
    this.client = new DaprClient(typeof first === 'string' ? clientOptions : (first.clientOptions ?? {}))
    this.binding = {
      receive: async (name, callback) => {
        const client = await this.client.open()
        // What it answers settles nothing but by failing, as with the SDK.
        client.onBinding(name, async (event) => {
          await callback(received(event))
        })
        if (this.#isStarted) {
          await client.start()
        }
      },
    }
  }

  /** Begins the callbacks, and keeps the process alive until `stop()`. */
  async start(): Promise<void> {
    const client = await this.client.open()
    await client.start()
    this.#isStarted = true
    this.#alive ??= setInterval(() => undefined, 2 ** 31 - 1)
  }

  /** Lets callbacks finish for up to ten seconds, and closes. */
  async stop(): Promise<void> {
    clearInterval(this.#alive)
    this.#alive = undefined
    this.#isStarted = false
    await this.client.stop()
  }
}

for (const kind of [DaprClient, DaprServer]) {
  for (const name of ELSEWHERE) {
    Object.defineProperty(kind.prototype, name, {
      configurable: true,
      get(): never {
        const advice = 'Use the official SDK and its sidecar for the rest.'
        throw refused(`${kind.name}.${name}: bindwright/dapr has bindings only`, advice)
      },
    })
  }
}

function positional(
  options: DaprClientOptions,
  daprHost: string,
  daprPort: string | undefined,
  protocol: CommunicationProtocolEnum | undefined,
): DaprClientOptions {
  return {
    ...options,
    daprHost,
    ...(daprPort !== undefined && { daprPort }),
    ...(protocol !== undefined && { communicationProtocol: protocol }),
  }
}

function encoded(data: unknown): unknown {
  // Their JSON is what the other side of a sidecar gets; a string has its quotes there.
  return typeof data === 'string' ? JSON.stringify(data) : data
}

function received(content: Reply | BindingEvent): unknown {
  const text = content.text()
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
