/**
 * Core's log lines, and what handlers throw: to the loggers of clients, and to the channel `bindwright:log` of
 * `node:diagnostics_channel`. Nothing is written anywhere by itself.
 */
import { channel } from 'node:diagnostics_channel'
import { native } from './native.js'

/** How serious a line is. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** What takes log lines: `console`, or a logger with these methods, such as pino's or winston's. */
export interface Logger {
  error(message: string, ...rest: unknown[]): void
  warn(message: string, ...rest: unknown[]): void
  info(message: string, ...rest: unknown[]): void
  debug(message: string, ...rest: unknown[]): void
}

/** What is published on the channel `bindwright:log`. */
export interface LogRecord {
  readonly level: LogLevel
  /** Whose it is: `bindwright`, or `bindwright.` and a component's type, such as `bindwright.kafka`. */
  readonly target: string
  readonly message: string
  /** Names and values beside the text. */
  readonly fields: Readonly<Record<string, string>>
  readonly time: Date
  /** What a handler threw. */
  readonly error?: unknown
}

const LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace']

/** Of the channel where no client says otherwise. */
const USUAL: LogLevel = 'warn'

const published = channel('bindwright:log')

/** A client that wants lines. */
interface Wish {
  readonly logger: Logger | undefined
  readonly level: LogLevel
}

const wishes = new Set<Wish>()
let isFollowing = false

/** Hands lines of this level and above to a logger until the result is given to `endLogging`. */
export function beginLogging(logger: Logger | undefined, level: LogLevel | undefined): Wish {
  const wish = { logger, level: level ?? (logger === undefined ? USUAL : 'info') }
  wishes.add(wish)
  heed()
  if (!isFollowing) {
    isFollowing = true
    native.followLogs(handOn)
  }
  return wish
}

/** Hands on what was logged so far, and nothing more to this logger. */
export function endLogging(wish: Wish): void {
  if (wishes.has(wish)) {
    handOn()
    wishes.delete(wish)
    heed()
  }
}

/** Whether a value names a level. */
export function isLevel(value: unknown): value is LogLevel {
  return LEVELS.includes(value as LogLevel)
}

/** Logs what a handler threw. The event's data stays out of the log. */
export function logFailure(binding: string, what: string, error: unknown): void {
  handOn()
  const message = `the handler of binding ${JSON.stringify(binding)} ${what}`
  tell({ level: 'error', target: 'bindwright', message, fields: {}, time: new Date(), error })
}

function heed(): void {
  const lowest = Math.max(LEVELS.indexOf(USUAL), ...Array.from(wishes, (wish) => LEVELS.indexOf(wish.level)))
  native.wantLogs(LEVELS[lowest] as LogLevel)
}

function handOn(): void {
  for (const line of native.takeLogs()) {
    const fields: Record<string, string> = {}
    for (let place = 0; place + 1 < line.fields.length; place += 2) {
      fields[line.fields[place] as string] = line.fields[place + 1] as string
    }
    const { level, target, message } = line
    tell({ level, target, message, fields, time: new Date(line.time) })
  }
}

function tell(record: LogRecord): void {
  if (published.hasSubscribers) {
    published.publish(record)
  }
  // One line for each logger, however many clients have it.
  const told = new Set<Logger>()
  for (const { logger, level } of wishes) {
    if (logger !== undefined && !told.has(logger) && LEVELS.indexOf(record.level) <= LEVELS.indexOf(level)) {
      told.add(logger)
      write(logger, record)
    }
  }
}

function write(logger: Logger, record: LogRecord): void {
  const fields = Object.entries(record.fields).map(([name, value]) => ` ${name}=${value}`)
  const line = `${record.target}: ${record.message}${fields.join('')}`
  const rest = 'error' in record ? [record.error] : []
  try {
    logger[record.level === 'trace' ? 'debug' : record.level](line, ...rest)
  } catch {
    // What a logger throws must not end what is being logged.
  }
}
