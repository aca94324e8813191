/** What `Client.open` is told. */
import { fileURLToPath } from 'node:url'
import { checkText, typeName } from './data.js'
import { refused } from './errors.js'
import { isLevel, type Logger, type LogLevel } from './logs.js'

/** Where a client finds its components, and who it is. What is left out comes from the environment. */
export interface ClientOptions {
  /**
   * Folders or files with component documents. Left out: `BINDWRIGHT_RESOURCES`, else `./components`, else
   * `./resources`.
   */
  resources?: string | URL | readonly (string | URL)[] | undefined
  /** The name that `scopes` of documents are compared with. Left out: `APP_ID`. */
  appId?: string | undefined
  /** The way to the bindings. Left out: `BINDWRIGHT_TRANSPORT`, else `embedded`. */
  transport?: 'embedded' | undefined
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
  const { appId, hotReload, logger, transport } = options
  for (const [name, value] of Object.entries({ appId, transport })) {
    if (value !== undefined) {
      checkText(name, value)
    }
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

/** The resources as paths. */
export function paths(resources: ClientOptions['resources']): string[] | undefined {
  if (resources === undefined) {
    return undefined
  }
  const isList =
    typeof resources === 'object' && typeof (resources as Iterable<unknown> | null)?.[Symbol.iterator] === 'function'
  const list = isList ? Array.from(resources as readonly (string | URL)[]) : [resources as string | URL]
  return list.map((path) => {
    if (typeof path !== 'string' && !(path instanceof URL)) {
      throw refused(`resources: expected paths, got ${typeName(path)}`, 'Name folders or files.')
    }
    return path instanceof URL ? fileURLToPath(path) : path
  })
}
