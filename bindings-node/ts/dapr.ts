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

/** As in the SDK: it decides what strings are sent as, and what `send` returns. */
export enum CommunicationProtocolEnum {
  GRPC = 0,
  HTTP = 1,
}

/** What the SDK's client is told. Of it `bindwright` and `communicationProtocol` count here. */
export interface DaprClientOptions {
  daprHost?: string
  daprPort?: string
  communicationProtocol?: CommunicationProtocolEnum
  /** Options of `Client.open`, such as `resources`. */
  bindwright?: ClientOptions
  [other: string]: unknown
}

/** What the SDK's server is told. Of it the protocol and the client's `bindwright` count here. */
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
   * Calls an output binding. Bytes are sent verbatim, any other value as JSON, also a string, as the SDK does; with
   * `CommunicationProtocolEnum.GRPC` a string is sent as it is, and `0`, `false` and `''` as no bytes.
   *
   * @returns The reply: parsed where it is JSON, else as text; `''` where there is none. With `GRPC` an object with
   * `data` (bytes), `metadata` and `operation`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: programs come with types of their own, which the SDK accepts.
  send(bindingName: string, operation: string, data?: any, metadata?: object): Promise<any>
}

/** Receives. */
export interface ServerBinding {
  /** Registers the function that gets the events of an input binding: parsed where they are JSON, else as text. */
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  receive(bindingName: string, callback: (data: any) => unknown): Promise<void>
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
        const isGrpc = this.options.communicationProtocol === CommunicationProtocolEnum.GRPC
        const payload = isGrpc ? data || undefined : encoded(data)
        const reply = await client.invokeBinding(name, operation, payload, {
          metadata: metadata as Metadata | undefined,
        })
        return isGrpc ? { data: reply.data ?? Buffer.alloc(0), metadata: reply.metadata, operation } : received(reply)
      },
    }
  }

  /** @internal The client behind it, opened when it is first used. */
  open(): Promise<Client> {
    this.#opening ??= Client.open(this.options.bindwright).catch((error: unknown) => {
      // What was missing may be there the next time.
      this.#opening = undefined
      throw error
    })
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
  #hasCallbacks = false
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
    serversProtocol?: CommunicationProtocolEnum,
    clientOptions: DaprClientOptions = {},
  ) {
    const protocol = typeof first === 'string' ? serversProtocol : first.communicationProtocol
    const given = typeof first === 'string' ? clientOptions : first.clientOptions
    this.client = new DaprClient({ ...(protocol !== undefined && { communicationProtocol: protocol }), ...given })
    this.binding = {
      receive: async (name, callback) => {
        const client = await this.client.open()
        // What it answers settles nothing but by failing, as with the SDK.
        client.onBinding(name, async (event) => {
          await callback(received(event))
        })
        this.#hasCallbacks = true
        if (this.#isStarted) {
          await client.start()
        }
      },
    }
  }

  /** Begins the callbacks, and keeps the process alive until `stop()`. */
  async start(): Promise<void> {
    const client = await this.client.open()
    if (this.#hasCallbacks) {
      await client.start()
    }
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
