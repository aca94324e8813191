/**
 * Invocations that wait for the native part. Each has a slot here; when many are answered at once, the native part
 * tells all of them in one call.
 */
import type { ErrorParts, NativeTarget, Payload, ReplyParts } from './native.js'
import { endless, native } from './native.js'

interface Waiting {
  readonly resolve: (parts: ReplyParts) => void
  /** With the error's parts; `undefined` when the call was aborted. */
  readonly reject: (parts: ErrorParts | undefined) => void
}

/** By slot. */
let waiting: (Waiting | undefined)[] = []
let free: number[] = []

/** More slots than these are given back once none is used. */
const FEW = 4096

const listener = native.listenForReplies(
  (text, ...places) => {
    let from = 0
    for (let index = 0; index < places.length; index += 2) {
      const end = places[index + 1] as number
      taken(places[index] as number)?.resolve(text.slice(from, end))
      from = end
    }
  },
  (slot, data, metadata) => taken(slot)?.resolve([data, metadata]),
  (slot, parts) => taken(slot)?.reject(parts),
)

function taken(slot: number): Waiting | undefined {
  const call = waiting[slot]
  waiting[slot] = undefined
  release(slot)
  return call
}

function release(slot: number): void {
  free.push(slot)
  if (free.length === waiting.length && free.length > FEW) {
    waiting = []
    free = []
  }
}

function reserved(): number {
  return free.pop() ?? waiting.push(undefined) - 1
}

/** A call that was begun: what it answered at once, or a promise that rejects with an error's parts. */
export type Answering = ReplyParts | ErrorParts | Promise<ReplyParts>

/** Begins a call. */
export function invoke(
  target: NativeTarget,
  data: Payload,
  metadata: string | undefined,
  timeoutMs: number | undefined,
): Answering {
  const slot = reserved()
  const answer = begun(slot, target, data, metadata, timeoutMs)
  return answer === null ? new Promise((resolve, reject) => wait(slot, { resolve, reject })) : atOnce(slot, answer)
}

/** Begins a call that can be ended early; it rejects with `undefined` then. */
export function invokeAbortably(
  target: NativeTarget,
  data: Payload,
  metadata: string | undefined,
  timeoutMs: number | undefined,
): { answer: Answering; abort: () => void } {
  const slot = reserved()
  const answer = begun(slot, target, data, metadata, timeoutMs)
  let abort = (): void => undefined
  if (answer !== null) {
    return { answer: atOnce(slot, answer), abort }
  }
  const promise = new Promise<ReplyParts>((resolve, reject) => {
    const call = { resolve, reject }
    wait(slot, call)
    abort = () => {
      // The slot may be another call's by now.
      if (waiting[slot] === call) {
        native.abortInvocation(listener, slot)
        taken(slot)?.reject(undefined)
      }
    }
  })
  return { answer: promise, abort }
}

function wait(slot: number, call: Waiting): void {
  waiting[slot] = call
}

function atOnce(slot: number, answer: ReplyParts | ErrorParts | undefined): Answering {
  release(slot)
  // Without an answer this is a worker thread that is being terminated.
  return answer ?? endless
}

function begun(
  slot: number,
  target: NativeTarget,
  data: Payload,
  metadata: string | undefined,
  timeoutMs: number | undefined,
): ReplyParts | ErrorParts | null | undefined {
  try {
    return native.invoke(listener, slot, target, data, metadata, timeoutMs)
  } catch (thrown) {
    release(slot)
    throw thrown
  }
}

/** The most operations of which the names are kept. */
const MANY = 256

/** What calls are about, by component and operation: names cross once. */
export class Targets {
  readonly #make: (name: string, operation: string) => NativeTarget
  readonly #known = new Map<string, Map<string, NativeTarget>>()
  #count = 0

  constructor(make: (name: string, operation: string) => NativeTarget) {
    this.#make = make
  }

  of(name: string, operation: string): NativeTarget {
    return this.#known.get(name)?.get(operation) ?? this.#added(name, operation)
  }

  #added(name: string, operation: string): NativeTarget {
    if (this.#count >= MANY) {
      // Names that a program makes up must not pile up.
      this.#known.clear()
      this.#count = 0
    }
    const target = this.#make(name, operation)
    const operations = this.#known.get(name) ?? new Map<string, NativeTarget>()
    this.#known.set(name, operations.set(operation, target))
    this.#count++
    return target
  }
}
