/** What `Client.open` is told. */
import { fileURLToPath } from 'node:url'
import { typeName } from './data.js'
import { refused } from './errors.js'
import { isLevel, type Logger, type LogLevel } from './logs.js'

/** Where a client finds its components, and who it is. What is left out comes from the environment. */
export interface ClientOptions {
  /**
   * Folders or files with component documents. Left out: `BINDWRIGHT_RESOURCES`, else `./components`, else
   * `./resources`.
   */
  resources?: string | URL | readonly (string | URL)[]
  /** The name that `scopes` of documents are compared with. Left out: `APP_ID`. */
  appId?: string
  /** The way to the bindings. Left out: `BINDWRIGHT_TRANSPORT`, else `embedded`. */
  transport?: 'embedded'
  /** How long a call waits when it does not say; 30,000 ms when left out. */
  timeoutMs?: number
  /** Whether components follow changes of the files. Left out: `BINDWRIGHT_HOT_RELOAD`, else yes. */
  hotReload?: boolean
  /** `'ready'`: `Client.open` waits until every component that can send works. */
  wait?: 'ready'
  /** For how long; 30,000 ms when left out. */
  waitTimeoutMs?: number
  /** What takes log lines: `console`, or a logger with its methods. Left out: nothing is written. */
  logger?: Logger
  /** Which lines: `'info'` and above for a logger, `'warn'` and above for the channel `bindwright:log`. */
  logLevel?: LogLevel
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
  const { logger } = options
  if (
    logger !== undefined &&
    [logger.error, logger.warn, logger.info, logger.debug].some((it) => typeof it !== 'function')
  ) {
    throw refused('logger: expected an object with error, warn, info and debug', 'Pass `console` or a logger.')
  }
}

/** The resources as paths. */
export function paths(resources: ClientOptions['resources']): string[] | undefined {
  if (resources === undefined) {
    return undefined
  }
  const list = typeof resources === 'string' || resources instanceof URL ? [resources] : Array.from(resources)
  return list.map((path) => {
    if (typeof path !== 'string' && !(path instanceof URL)) {
      throw refused(`resources: expected paths, got ${typeName(path)}`, 'Name folders or files.')
    }
    return path instanceof URL ? fileURLToPath(path) : path
  })
}
