/**
 * The names of Dapr's JavaScript SDK, for programs that come from there: change the import from `@dapr/dapr` to
 * `bindwright/dapr`. Bindings only. Where the environment names a sidecar, as under `dapr run`, they go through it; else
 * they are in this process, and hosts and ports mean nothing.
 *
 * @packageDocumentation
 */
import { Client } from './client.js'
import { isCount, type Metadata } from './data.js'
import { refused } from './errors.js'
import type { BindingEvent } from './event.js'
import type { ClientOptions, Transport } from './options.js'
import type { Reply } from './reply.js'

/** As in the SDK: it decides what strings are sent as, and what `send` returns. */
export enum CommunicationProtocolEnum {
  GRPC = 0,
  HTTP = 1,
}

/** What the SDK's client is told. What is not named here does not count. */
export interface DaprClientOptions {
  /** Where the sidecar is, if there is one: a host, or a scheme and a host. It does not choose a sidecar. */
  daprHost?: string
  /** Its port for the protocol; as in the SDK, one of these two stands for `DAPR_HTTP_ENDPOINT` and `DAPR_GRPC_ENDPOINT`. */
  daprPort?: string
  /** How the sidecar is spoken to, if there is one, and what strings are sent as. `HTTP` when left out. */
  communicationProtocol?: CommunicationProtocolEnum
  /** Left out: `DAPR_API_TOKEN`. */
  daprApiToken?: string
  /** The largest message to and from the sidecar, in MiB. */
  maxBodySizeMb?: number
  /** Options of `Client.open`, such as `resources`; they come before all else. */
  bindwright?: ClientOptions
  [other: string]: unknown
}

/** What the SDK's server is told. What is not named here does not count. */
export interface DaprServerOptions {
  serverHost?: string
  /** Where the sidecar delivers events, if there is one. Left out: `APP_PORT`. */
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
  readonly binding: ClientBinding
  readonly #options: DaprClientOptions
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
    this.#options = typeof first === 'string' ? positional(last, first, daprPort, protocol) : first
    this.binding = {
      send: async (name, operation, data, metadata) => {
        const client = await this.open()
        const isGrpc = this.#options.communicationProtocol === CommunicationProtocolEnum.GRPC
        const payload = isGrpc ? data || undefined : encoded(data)
        const reply = await client.invokeBinding(name, operation, payload, {
          metadata: metadata as Metadata | undefined,
        })
        return isGrpc ? { data: reply.data ?? Buffer.alloc(0), metadata: reply.metadata, operation } : received(reply)
      },
    }
  }

  /** What it was made with. Logs do not show it, for it may hold a token. */
  get options(): DaprClientOptions {
    return this.#options
  }

  /** @internal The client behind it, opened when it is first used. */
  open(): Promise<Client> {
    this.#opening ??= Client.open(clientOptions(this.#options)).catch((error: unknown) => {
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

/** The SDK's server, as far as bindings go. It listens on a port only where there is a sidecar that delivers there. */
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
    serverPort?: string,
    _daprHost?: string,
    _daprPort?: string,
    serversProtocol?: CommunicationProtocolEnum,
    clientOptions: DaprClientOptions = {},
  ) {
    const protocol = typeof first === 'string' ? serversProtocol : first.communicationProtocol
    const given = typeof first === 'string' ? clientOptions : first.clientOptions
    const port = typeof first === 'string' ? serverPort : first.serverPort
    this.client = new DaprClient({
      ...(protocol !== undefined && { communicationProtocol: protocol }),
      ...given,
      ...(port !== undefined && { serverPort: port }),
    })
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
  // Their JSON is what the other side of a sidecar gets; a string has its quotes there. An object is sent as JSON.
  return typeof data === 'string' ? Object(data) : data
}

/** By these the SDK finds its sidecar. */
const VARIABLES = {
  'sidecar-http': { endpoint: 'DAPR_HTTP_ENDPOINT', port: 'DAPR_HTTP_PORT', usual: '3500' },
  'sidecar-grpc': { endpoint: 'DAPR_GRPC_ENDPOINT', port: 'DAPR_GRPC_PORT', usual: '50001' },
} as const

/** What the client behind it is told: through a sidecar only where the environment names one, or `bindwright` does. */
function clientOptions(options: DaprClientOptions): ClientOptions {
  const { daprHost, daprPort, daprApiToken, maxBodySizeMb, serverPort, bindwright: own = {} } = options
  const way = options.communicationProtocol === CommunicationProtocolEnum.GRPC ? 'sidecar-grpc' : 'sidecar-http'
  const transport = own.transport ?? (own.resources === undefined ? fromEnvironment(way) : undefined)
  if (transport === undefined || transport === 'embedded') {
    return own
  }
  const isPlaced = (daprHost ?? daprPort) !== undefined && transport === way
  const size = maxBodySizeMb === undefined ? undefined : Math.floor(maxBodySizeMb * 2 ** 20)
  return {
    transport,
    ...(isPlaced && { sidecarEndpoint: endpoint(way, daprHost, daprPort) }),
    ...(daprApiToken !== undefined && { sidecarToken: daprApiToken }),
    ...(size !== undefined && { maxMessageSize: size }),
    // Of the server that the client belongs to.
    ...(serverPort !== undefined && { appPort: portOf(serverPort) }),
    ...own,
  }
}

/** The way that `BINDWRIGHT_TRANSPORT` names; else the program's, where any variable of Dapr names a sidecar. */
function fromEnvironment(way: keyof typeof VARIABLES): Transport | undefined {
  const named = process.env.BINDWRIGHT_TRANSPORT?.trim().toLowerCase()
  if (named) {
    return named as Transport
  }
  const names = Object.values(VARIABLES).flatMap(({ endpoint, port }) => [endpoint, port])
  return names.some((name) => process.env[name]) ? way : undefined
}

function endpoint(way: keyof typeof VARIABLES, host = '127.0.0.1', given?: string): string {
  const { port, usual } = VARIABLES[way]
  const place = `${host}:${given ?? (process.env[port] || usual)}`
  return way === 'sidecar-http' && !/^[a-z][a-z0-9+.-]*:\/\//i.test(place) ? `http://${place}` : place
}

function portOf(text: unknown): number {
  const port = Number(text)
  if (!(isCount(port) && port < 2 ** 16)) {
    throw refused(`serverPort: expected a port, got ${String(text)}`, 'Correct the option.')
  }
  return port
}

function received(content: Reply | BindingEvent): unknown {
  const text = content.text()
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
