/** The native library: how it is found, and what it has. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { ErrorCode } from './codes.js'
import type { ComponentInfo, Reload } from './components.js'
import type { Transport } from './options.js'

/** Everything that an error of core knows. */
export interface ErrorParts {
  readonly text: string
  readonly message: string
  readonly code: ErrorCode
  readonly component?: string
  readonly operation?: string
  readonly retriable?: boolean
  readonly backend?: string
  readonly whatToDo: string
  readonly place?: string
}

/** Metadata, packed, and data before it where there is some. */
export type ReplyParts = string | [data: Buffer | null, metadata: string]

/** What a call for many answers; see `Answers` in the native part. */
export interface ManyParts {
  readonly texts: string[]
  readonly ends: Uint32Array
  readonly others: { readonly place: number; readonly answer: ReplyParts | ErrorParts }[]
}

/** What is sent: bytes, which arrive as they are; a text, which is the JSON of a value; or no data at all. */
export type Payload = Uint8Array | string | undefined

/** A component and an operation, made by `NativeClient.target`. */
export interface NativeTarget {
  readonly isNative: true
}

/** As users get it, but for the error. */
export interface ComponentParts extends Omit<ComponentInfo, 'error'> {
  readonly error?: ErrorParts
}

/** As users get it, but for the errors. */
export interface ReloadParts extends Omit<Reload, 'faults'> {
  readonly faults: ErrorParts[]
}

export interface NativeEmission {
  binding: string
  operation: string
  data: Payload
  metadata: string[] | undefined
}

export interface NativeOutcome {
  place: number
  kind: 'ack' | 'retry' | 'drop' | 'deadLetter' | 'emit'
  afterMs?: number | undefined
  cause?: [code: string, text: string] | undefined
  emissions?: NativeEmission[]
}

export interface NativeBatch {
  readonly length: number
  readonly isTraced: boolean
  data(place: number): Buffer | null
  metadata(place: number): string[]
  attempt(place: number): number
  trace(place: number): string[] | null
  begin(place: number, most: number): number
  bodies(place: number, ends: Int32Array): Buffer | null
  ack(from: number, to: number): number
  settle(outcomes: NativeOutcome[]): number
  release(from: number): void
}

export interface NativeSubscription {
  /** Whether the time of handlers counts. */
  readonly isTimed: boolean
  ready(key: number | undefined, keeps: boolean): Promise<boolean>
  take(max: number): NativeBatch | null
  close(drainMs: number): Promise<void>
}

export type HandOut = 'events' | 'batches' | 'freely'

export interface NativeClient {
  readonly transport: Transport
  target(name: string, operation: string): NativeTarget
  subscribe(name: string, handOut: HandOut): Promise<NativeSubscription>
  components(): Promise<ComponentParts[]>
  faults(): ErrorParts[]
  addComponent(text: string): string[]
  removeComponent(name: string): void
  ready(key: number | undefined, timeoutMs: number | undefined): Promise<void>
  reload(): Promise<ReloadParts>
  close(drainMs: number | undefined): Promise<void>
}

export interface NativeOptions {
  resources?: string[] | undefined
  appId?: string | undefined
  transport?: string | undefined
  sidecarEndpoint?: string | undefined
  sidecarToken?: string | undefined
  sidecarCa?: string | undefined
  maxMessageSize?: number | undefined
  maxRetries?: number | undefined
  appPort?: number | undefined
  appToken?: string | undefined
  timeoutMs?: number | undefined
  hotReload?: boolean | undefined
}

export interface LogLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug' | 'trace'
  readonly target: string
  readonly message: string
  readonly fields: string[]
  readonly time: number
}

/** Binding, operation, data, flat metadata, code of the error. */
export interface InvocationParts {
  readonly binding: string
  readonly operation: string
  readonly data: Buffer | null
  readonly metadata: string[]
  readonly error?: ErrorCode
}

export interface ProgressParts {
  readonly deliveries: number
  readonly ending?: 'ack' | 'drop' | 'dead_letter' | 'emit' | 'held'
  readonly cause?: [code: string, text: string]
}

export interface NativePushedEvent {
  progress(): ProgressParts
  wait(deliveries: number | undefined, timeoutMs: number): Promise<ProgressParts>
}

export interface AnswerConditions {
  operation?: string | undefined
  times?: number | undefined
  delayMs?: number | undefined
}

/** What a function of a test answers: data and flat metadata, or an error's code and message. */
export interface FunctionAnswer {
  data?: Uint8Array | undefined
  metadata?: string[] | undefined
  code?: string | undefined
  message?: string | undefined
}

export interface NativeSandbox {
  invocations(binding: string | undefined): InvocationParts[]
  forget(): void
  waitFor(binding: string, operation: string | undefined, count: number, timeoutMs: number): Promise<InvocationParts[]>
  reply(
    binding: string,
    data: Uint8Array | undefined,
    metadata: string[] | undefined,
    conditions: AnswerConditions,
  ): void
  replyWith(
    binding: string,
    answer: (invocation: InvocationParts) => FunctionAnswer,
    conditions: AnswerConditions,
  ): void
  fail(binding: string, code: string, message: string | undefined, conditions: AnswerConditions): void
  push(
    binding: string,
    data: Uint8Array | undefined,
    metadata: string[] | undefined,
    key: string | undefined,
  ): NativePushedEvent
  end(): void
}

interface Native {
  NativeClient: { open(options: NativeOptions): NativeClient }
  NativeSandbox: { open(longestPauseMs: number | undefined): NativeSandbox }
  DevBroker: { start(port: number): { readonly bootstrap: string; stop(): void } }
  listenForReplies(
    replies: (text: string, ...places: number[]) => void,
    reply: (slot: number, data: Buffer | null, metadata: string) => void,
    failure: (slot: number, parts: ErrorParts) => void,
  ): number
  invoke(
    listener: number,
    slot: number,
    target: NativeTarget,
    data: Payload,
    metadata: string | undefined,
    timeoutMs: number | undefined,
  ): ReplyParts | ErrorParts | null | undefined
  abortInvocation(listener: number, slot: number): void
  invokeMany(
    key: number | undefined,
    target: NativeTarget,
    data: Payload[],
    metadata: (string | undefined)[],
    timeoutMs: number | undefined,
  ): Promise<ManyParts>
  abortCall(key: number): void
  describeError(
    code: string,
    message: string,
    component: string | undefined,
    operation: string | undefined,
    advice: string | undefined,
  ): ErrorParts
  followLogs(ring: () => void): void
  wantLogs(level: string): boolean
  takeLogs(): LogLine[]
  runCommand(args: string[]): number
  version(): string
}

const load = createRequire(__filename)

export const native: Native = find()

/**
 * What a call becomes that is made while its worker thread is being terminated: then the native part can neither answer
 * nor throw. It never settles, so that whoever calls in a loop lets the thread end.
 */
export const endless: Promise<never> = new Promise(() => undefined)

function find(): Native {
  // Of a build from the sources.
  const own = join(__dirname, '..', 'bindwright.node')
  if (existsSync(own)) {
    return load(own) as Native
  }
  const name = `bindwright-${triple()}`
  try {
    return load(name) as Native
  } catch (cause) {
    throw new Error(absence(name, cause), { cause })
  }
}

function triple(): string {
  const { platform, arch } = process
  if (platform === 'linux') {
    const name = `${platform}-${arch}-gnu`
    // npm installs only what fits. To look at the machine takes milliseconds, and a permission under Deno.
    return !isInstalled(`bindwright-${name}`) && isMusl() ? `${platform}-${arch}-musl` : name
  }
  return platform === 'win32' ? `${platform}-${arch}-msvc` : `${platform}-${arch}`
}

function isInstalled(name: string): boolean {
  try {
    load.resolve(name)
    return true
  } catch {
    return false
  }
}

function isMusl(): boolean {
  const { report } = process as { report?: { excludeNetwork?: boolean; getReport(): unknown } }
  if (report === undefined) {
    return false
  }
  // Otherwise Node asks, while the program stands still, for the names of all hosts that it is connected to.
  const { excludeNetwork } = report
  report.excludeNetwork = true
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
    return header !== undefined && header.glibcVersionRuntime === undefined
  } finally {
    if (excludeNetwork !== undefined) {
      report.excludeNetwork = excludeNetwork
    }
  }
}

function absence(name: string, cause: unknown): string {
  const isMissing = (cause as NodeJS.ErrnoException | undefined)?.code === 'MODULE_NOT_FOUND'
  if (!isMissing) {
    const text = cause instanceof Error ? cause.message : String(cause)
    return `bindwright: the native part ${name} is there and cannot be loaded: ${text}`
  }
  const built = platformPackages()
  if (built.length > 0 && !built.includes(name)) {
    const machines = built.map((other) => other.slice('bindwright-'.length)).join(', ')
    return `bindwright: there is no native part for this machine, which would be ${name}; there is: ${machines}.`
  }
  return (
    `bindwright: the native part for this machine, the package ${name}, is not installed. ` +
    'It is an optional dependency of bindwright: install again without --omit=optional and on the kind of machine ' +
    '(system, processor, C library) that runs the program.'
  )
}

/** What the package was published with; nothing in a checkout. */
function platformPackages(): string[] {
  try {
    const { optionalDependencies } = load('../package.json') as { optionalDependencies?: Record<string, string> }
    return Object.keys(optionalDependencies ?? {})
  } catch {
    // A bundler has put us elsewhere.
    return []
  }
}
