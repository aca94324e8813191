/** What `Client.open` is told. */
import { fileURLToPath } from 'node:url'
import { checkText, isCount, optionTime, typeName } from './data.js'
import { refused } from './errors.js'
import { isLevel, type Logger, type LogLevel } from './logs.js'
import type { NativeOptions } from './native.js'

/** A way to the bindings: in this process, or through a sidecar beside it. */
export type Transport = 'embedded' | 'sidecar-grpc' | 'sidecar-http'

/** Where a client finds its components, and who it is. What is left out comes from the environment. */
export interface ClientOptions {
  /**
   * Folders or files with component documents. Left out: `BINDWRIGHT_RESOURCES`, else `./components`, else
   * `./resources`. Given, they also choose the transport `'embedded'`.
   */
  resources?: string | URL | readonly (string | URL)[] | undefined
  /** The name that `scopes` of documents are compared with. Left out: `APP_ID`. */
  appId?: string | undefined
  /**
   * The way to the bindings. Left out: `'embedded'` where `resources` are given; else `BINDWRIGHT_TRANSPORT`; else
   * `'sidecar-grpc'` where `sidecarEndpoint`, `DAPR_GRPC_ENDPOINT` or `DAPR_GRPC_PORT` names a sidecar, `'sidecar-http'`
   * where only `DAPR_HTTP_ENDPOINT` or `DAPR_HTTP_PORT` does; else `'embedded'`.
   */
  transport?: Transport | undefined
  /**
   * Where the sidecar listens: for gRPC `[scheme:]host[:port][?tls=true]` with the schemes `dns`, `unix` and
   * `unix-abstract`, or a URL; for HTTP a URL, or `unix:` and a path. Left out: `DAPR_GRPC_ENDPOINT`, else
   * `DAPR_GRPC_PORT` on 127.0.0.1, else 50001; for HTTP `DAPR_HTTP_ENDPOINT`, `DAPR_HTTP_PORT` and 3500.
   */
  sidecarEndpoint?: string | undefined
  /** The token that the sidecar asks for. Left out: `DAPR_API_TOKEN`. */
  sidecarToken?: string | undefined
  /**
   * A file with the certificates of the authorities to trust (PEM), instead of this machine's. Left out:
   * `BINDWRIGHT_SIDECAR_CA`.
   */
  sidecarCa?: string | URL | undefined
  /**
   * The largest message to and from the sidecar, in bytes. Left out: `BINDWRIGHT_MAX_MESSAGE_SIZE`, else
   * `DAPR_GRPC_MAX_INBOUND_MESSAGE_SIZE_BYTES`, else 4 MiB. The sidecar has a limit of its own.
   */
  maxMessageSize?: number | undefined
  /**
   * How often a call whose connection to the sidecar broke is made again although it may have taken effect; a negative
   * number is no bound but the deadline. Left out: `DAPR_API_MAX_RETRIES`, else 0. What was certainly not sent is always
   * sent again.
   */
  maxRetries?: number | undefined
  /** The port of this program on which the sidecar delivers events. Left out: `APP_PORT`. */
  appPort?: number | undefined
  /** The token that the sidecar shows with every event. Left out: `APP_API_TOKEN`; without one none is asked for. */
  appToken?: string | undefined
  /** How long a call waits when it does not say; 30,000 ms when left out. */
  timeoutMs?: number | undefined
  /** Whether components follow changes of the files. Left out: `BINDWRIGHT_HOT_RELOAD`, else yes. */
  hotReload?: boolean | undefined
  /** `'ready'`: `Client.open` waits until every component that can send works. */
  wait?: 'ready' | undefined
  /** For how long; 30,000 ms when left out. */
  waitTimeoutMs?: number | undefined
  /** What takes log lines: `console`, or a logger with its methods. Left out: nothing is written. */
  logger?: Logger | undefined
  /** Which lines: `'info'` and above for a logger, `'warn'` and above for the channel `bindwright:log`. */
  logLevel?: LogLevel | undefined
}

const KNOWN: ReadonlySet<string> = new Set<keyof ClientOptions>([
  'resources',
  'appId',
  'transport',
  'sidecarEndpoint',
  'sidecarToken',
  'sidecarCa',
  'maxMessageSize',
  'maxRetries',
  'appPort',
  'appToken',
  'timeoutMs',
  'hotReload',
  'wait',
  'waitTimeoutMs',
  'logger',
  'logLevel',
])

/** Refuses what a program in JavaScript may have mistyped. */
export function checkOptions(options: ClientOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw refused(`expected an object with options, got ${typeName(options)}`, 'As in `{ resources: "./components" }`.')
  }
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) {
      throw refused(`${name}: no such option`, `Options are: ${Array.from(KNOWN).join(', ')}.`)
    }
  }
  if (options.wait !== undefined && options.wait !== 'ready') {
    throw refused(`wait: expected "ready", got ${JSON.stringify(options.wait)}`, 'Correct the option.')
  }
  if (options.logLevel !== undefined && !isLevel(options.logLevel)) {
    const message = `logLevel: expected error, warn, info, debug or trace, got ${String(options.logLevel)}`
    throw refused(message, 'Correct the option.')
  }
  const { appId, hotReload, logger, transport, sidecarEndpoint, sidecarToken, appToken } = options
  for (const [name, value] of Object.entries({ appId, transport, sidecarEndpoint, sidecarToken, appToken })) {
    if (value !== undefined) {
      checkText(name, value)
    }
  }
  const { maxMessageSize, maxRetries, appPort } = options
  if (maxMessageSize !== undefined && !isCount(maxMessageSize)) {
    throw unfit('maxMessageSize', 'a whole number of bytes from 1', maxMessageSize)
  }
  if (maxRetries !== undefined && !Number.isSafeInteger(maxRetries)) {
    throw unfit('maxRetries', 'a whole number', maxRetries)
  }
  if (appPort !== undefined && !(isCount(appPort) && appPort < 2 ** 16)) {
    throw unfit('appPort', 'a port from 1 to 65535', appPort)
  }
  if (hotReload !== undefined && typeof hotReload !== 'boolean') {
    throw refused(`hotReload: expected true or false, got ${typeName(hotReload)}`, 'Correct the option.')
  }
  if (
    logger !== undefined &&
    [logger?.error, logger?.warn, logger?.info, logger?.debug].some((it) => typeof it !== 'function')
  ) {
    throw refused('logger: expected an object with error, warn, info and debug', 'Pass `console` or a logger.')
  }
}

function unfit(name: string, expected: string, value: unknown): Error {
  const given = typeof value === 'number' ? String(value) : typeName(value)
  return refused(`${name}: expected ${expected}, got ${given}`, 'Correct the option.')
}

/** What core is told. */
export function nativeOptions(options: ClientOptions): NativeOptions {
  const { appId, transport, sidecarEndpoint, sidecarToken, maxMessageSize, maxRetries, appPort, appToken } = options
  const { hotReload, sidecarCa } = options
  return {
    resources: paths(options.resources),
    appId,
    transport,
    sidecarEndpoint,
    sidecarToken,
    sidecarCa: sidecarCa === undefined ? undefined : path('sidecarCa: expected a path', sidecarCa),
    maxMessageSize,
    maxRetries,
    appPort,
    appToken,
    timeoutMs: optionTime('timeoutMs', options.timeoutMs),
    hotReload,
  }
}

function paths(given: ClientOptions['resources']): string[] | undefined {
  if (given === undefined) {
    return undefined
  }
  const isList =
    typeof given === 'object' && typeof (given as Iterable<unknown> | null)?.[Symbol.iterator] === 'function'
  const list = isList ? Array.from(given as readonly (string | URL)[]) : [given as string | URL]
  return list.map((one) => path('resources: expected paths', one))
}

function path(expected: string, given: string | URL): string {
  if (typeof given !== 'string' && !(given instanceof URL)) {
    throw refused(`${expected}, got ${typeName(given)}`, 'Name a folder or a file.')
  }
  return given instanceof URL ? fileURLToPath(given) : given
}
