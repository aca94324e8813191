/** What Bindwright throws. */
import type { ErrorCode } from './codes.js'
import { type ErrorParts, native } from './native.js'

/** What an error concerns, beside its text. */
interface Concern {
  component?: string | undefined
  operation?: string | undefined
  cause?: unknown
  advice?: string
}

/**
 * Why a call failed. `message` tells everything in one line; the properties tell it in parts.
 *
 * @example
 * try {
 *   await client.invokeBinding('checkout', 'create', order)
 * } catch (error) {
 *   if (error instanceof BindwrightError && error.retriable) await later(order)
 *   else throw error
 * }
 */
export class BindwrightError extends Error {
  /** The stable code, the same in every language. */
  readonly code: ErrorCode
  /** What happened, without component, place and advice. */
  readonly summary: string
  /** The component concerned. */
  readonly component: string | undefined
  /** The operation concerned. */
  readonly operation: string | undefined
  /** Whether trying again can help; `undefined` when it is not known. */
  readonly retriable: boolean | undefined
  /** The backend's own text. */
  readonly backend: string | undefined
  /** What to do about it. */
  readonly whatToDo: string
  /** `file:line:column` of a fault in a document. */
  readonly place: string | undefined

  /** @internal */
  constructor(parts: ErrorParts, cause?: unknown) {
    super(parts.text, cause === undefined ? undefined : { cause })
    this.code = parts.code
    this.summary = parts.message
    this.component = parts.component
    this.operation = parts.operation
    this.retriable = parts.retriable
    this.backend = parts.backend
    this.whatToDo = parts.whatToDo
    this.place = parts.place
  }
}
Object.defineProperty(BindwrightError.prototype, 'name', {
  value: 'BindwrightError',
  writable: true,
  configurable: true,
})

/** An error that this layer found. */
export function fault(code: ErrorCode, message: string, concern: Concern = {}): BindwrightError {
  const { component, operation, advice, cause } = concern
  return new BindwrightError(native.describeError(code, message, component, operation, advice), cause)
}

/** An argument or an option that cannot be used. */
export function refused(message: string, advice?: string): BindwrightError {
  return fault('INVALID_OPTIONS', message, advice === undefined ? {} : { advice })
}

/** Whether a value is what the native part makes of an error. */
export function isParts(value: unknown): value is ErrorParts {
  return typeof value === 'object' && value !== null && 'whatToDo' in value && !(value instanceof Error)
}

/** What the native part threw, as users get it: made here, so that its stack is the caller's. */
export function translated(thrown: unknown): Error {
  // A promise is rejected with the parts; what is thrown has to be an error, and carries them.
  const parts = thrown instanceof Error ? (thrown as { parts?: unknown }).parts : thrown
  if (isParts(parts)) {
    return new BindwrightError(parts)
  }
  if (thrown instanceof BindwrightError) {
    return thrown
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  if (/Expected$/.test(String((thrown as { code?: unknown } | null)?.code))) {
    return refused(`an argument has another type than expected: ${text}`, 'Correct the argument.')
  }
  return fault('INTERNAL', text, { cause: thrown })
}

/** Calls the native part. */
export function guarded<T>(call: () => T): T {
  try {
    return call()
  } catch (thrown) {
    throw translated(thrown)
  }
}

/** Calls the native part and waits for what it answers. */
export async function awaited<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (thrown) {
    throw translated(thrown)
  }
}
