/** What a client says about its components. */
import { BindwrightError } from './errors.js'
import type { ComponentParts } from './native.js'

/** How often something is attempted at most, and how long that takes; what is left out has no end. */
export interface Ledger {
  /** Attempts, the first included. */
  readonly attempts?: number
  /** Milliseconds from the beginning of the first attempt to the end of the last. */
  readonly longestMs?: number
  /** Milliseconds of all pauses together. */
  readonly pausesMs?: number
}

/** What a component can do, and how it is. */
export interface ComponentInfo {
  /** The name that calls use. */
  readonly name: string
  /** `spec.type`, in lower case. */
  readonly type: string
  /** `spec.version`, in lower case. */
  readonly version: string
  /** Whether it can be subscribed to. */
  readonly input: boolean
  /** Whether it can be invoked. */
  readonly output: boolean
  /** How it is: the worse of its output and of what is subscribed to it. */
  readonly state: 'idle' | 'ready' | 'connecting' | 'degraded' | 'failed'
  /** Why it cannot be used, or the last error of its connection. */
  readonly error?: BindwrightError
  /** How often an event of it is delivered; left out for what does not receive. */
  readonly redelivery?: Ledger
  /** How often a call of it is attempted; left out for what does not send. */
  readonly retries?: Ledger
}

/** What a look at the files changed, by names. */
export interface Reload {
  readonly added: string[]
  readonly changed: string[]
  readonly removed: string[]
  /** What is wrong with the files; the components concerned stay as they were. */
  readonly faults: BindwrightError[]
}

export function componentInfo(parts: ComponentParts): ComponentInfo {
  const { error, ...rest } = parts
  return error === undefined ? rest : { ...rest, error: new BindwrightError(error) }
}
