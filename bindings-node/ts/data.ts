/** From JavaScript's values to what is sent, and back. */
import { types } from 'node:util'
import { Content } from './content.js'
import { fault, refused } from './errors.js'
import type { Payload } from './native.js'

/** Names and values beside the data of a call. */
export type Metadata = Readonly<Record<string, string>>

/**
 * What can be sent: bytes verbatim, a string as UTF-8, `null` as no data at all (a tombstone on Kafka), anything else
 * as JSON. Left out (`undefined`) it is empty.
 */
export type Data = unknown

const EMPTY = new Uint8Array(0)

/** Who sends, for errors. */
export interface Sender {
  readonly component: string
  readonly operation: string
}

/** The bytes of a value; `undefined` for no data at all. They are copied by the native part. */
export function bytesOf(data: Data, sender: Sender): Uint8Array | undefined {
  const payload = payloadOf(data, sender)
  return typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload
}

/** What the native part sends of a value: a text stands for JSON only, as some ways carry nothing else. */
export function payloadOf(data: Data, sender: Sender): Payload {
  if (typeof data === 'string') {
    return textBytes(data, sender)
  }
  if (data === null) {
    return undefined
  }
  if (data === undefined) {
    return EMPTY
  }
  if (typeof data === 'object') {
    if (data instanceof Uint8Array && data.length > 0) {
      return data
    }
    if (ArrayBuffer.isView(data)) {
      return viewOf(data.buffer, sender, data.byteOffset, data.byteLength)
    }
    if (types.isAnyArrayBuffer(data)) {
      return viewOf(data, sender)
    }
  }
  return json(data, sender)
}

function viewOf(buffer: ArrayBufferLike, sender: Sender, ...part: [offset?: number, length?: number]): Uint8Array {
  try {
    return new Uint8Array(buffer, ...part)
  } catch (cause) {
    // One that was given to another thread looks empty otherwise.
    throw unsendable(buffer, 'bytes', 'its memory was transferred elsewhere', sender, cause)
  }
}

function textBytes(text: string, sender: Sender): Uint8Array {
  if (hasLoneSurrogate(text)) {
    throw unsendable(text, 'UTF-8', 'it has half of a surrogate pair', sender)
  }
  return Buffer.from(text, 'utf8')
}

function hasLoneSurrogate(text: string): boolean {
  return !(text as unknown as { isWellFormed(): boolean }).isWellFormed()
}

function json(data: unknown, sender: Sender): string {
  if (data instanceof Content) {
    throw unsendable(data, 'JSON', 'pass its `data`', sender)
  }
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (cause) {
    throw unsendable(data, 'JSON', cause instanceof Error ? cause.message : String(cause), sender, cause)
  }
  if (text === undefined) {
    throw unsendable(data, 'JSON', 'JSON has no such value', sender)
  }
  const why = text === 'null' || text === '{}' ? hidden(data) : undefined
  if (why !== undefined) {
    throw unsendable(data, 'JSON', why, sender)
  }
  return text
}

/** Why JSON shows nothing of a value; a defect of the program, mostly. */
function hidden(data: unknown): string | undefined {
  if (typeof data === 'number') {
    return `JSON has no ${data}`
  }
  if (types.isDate(data)) {
    return 'it is no valid date'
  }
  if (typeof (data as { toJSON?: unknown }).toJSON === 'function') {
    return undefined
  }
  if (types.isPromise(data)) {
    return 'it was not awaited'
  }
  // Maps, sets, errors, iterators, streams: everything but plain objects and those of the program's own classes.
  return Object.prototype.toString.call(data) === '[object Object]'
    ? undefined
    : 'JSON would show nothing of it; make it an object or an array'
}

function unsendable(data: unknown, form: string, why: string, sender: Sender, cause?: unknown): Error {
  const message = `data: a value of type ${typeName(data)} cannot be sent as ${form}: ${why}`
  return fault('INVALID_REQUEST', message, { ...sender, cause })
}

/** The name of a value's type, for error texts. */
export function typeName(value: unknown): string {
  if (value === null || typeof value !== 'object') {
    return value === null ? 'null' : typeof value
  }
  try {
    const name: unknown = value.constructor?.name
    return typeof name === 'string' && name !== '' ? name : 'object'
  } catch {
    return 'object'
  }
}

/** Names and values in turn. */
export function flatten(metadata: Metadata | null | undefined, sender: Sender): string[] | undefined {
  if (metadata === undefined || metadata === null) {
    return undefined
  }
  // Lists, maps and headers have no names and values of their own that could be sent.
  if (typeof metadata !== 'object' || Symbol.iterator in metadata) {
    const message = `metadata: expected an object with texts, got ${typeName(metadata)}`
    throw fault('INVALID_REQUEST', message, { ...sender })
  }
  const flat: string[] = []
  for (const name of Object.keys(metadata)) {
    const value: unknown = metadata[name]
    if (typeof value !== 'string') {
      const message = `metadata: expected a text for ${JSON.stringify(name)}, got ${typeName(value)}`
      throw fault('INVALID_REQUEST', message, { ...sender })
    }
    if (hasLoneSurrogate(name) || hasLoneSurrogate(value)) {
      const message = `metadata: ${JSON.stringify(name)} or its text cannot be sent as UTF-8: it has half of a surrogate pair`
      throw fault('INVALID_REQUEST', message, { ...sender })
    }
    flat.push(name, value)
  }
  return flat
}

/** The object of names and values that stand in turn. */
export function unflatten(flat: readonly string[]): Record<string, string> {
  const metadata: Record<string, string> = {}
  for (let place = 0; place + 1 < flat.length; place += 2) {
    const name = flat[place] as string
    const value = flat[place + 1] as string
    if (name === '__proto__') {
      // A header's name may be anything.
      Object.defineProperty(metadata, name, { value, writable: true, enumerable: true, configurable: true })
    } else {
      metadata[name] = value
    }
  }
  return metadata
}

/** A name or another text that an argument has to be. */
export function checkText(what: string, value: unknown): void {
  if (typeof value !== 'string') {
    throw refused(`${what}: expected a text, got ${typeName(value)}`, 'Correct the argument.')
  }
}

/** Whether a value is a number of things, at least one, that the native part can count. */
export function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) < 2 ** 32
}

/** What stands in a list of payloads. What is one payload itself must not be sent as many. */
export function payloadsOf(payloads: Iterable<Data>, sender: Sender): Data[] {
  if (
    typeof payloads !== 'object' ||
    typeof payloads?.[Symbol.iterator] !== 'function' ||
    ArrayBuffer.isView(payloads)
  ) {
    const message = `payloads: expected a list or another iterable, got ${typeName(payloads)}`
    throw fault('INVALID_REQUEST', message, { ...sender })
  }
  return Array.from(payloads)
}

/** Milliseconds of an argument about one call: at least 0, endless is fine. */
export function timeOf(name: string, value: number | undefined, sender: Sender): number | undefined {
  if (value === undefined) {
    return undefined
  }
  if (typeof value !== 'number' || Number.isNaN(value) || value < 0) {
    throw fault('INVALID_REQUEST', badTime(name, value), { ...sender })
  }
  return value
}

/** Milliseconds of an option. */
export function optionTime(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && (typeof value !== 'number' || Number.isNaN(value) || value < 0)) {
    throw fault('INVALID_OPTIONS', badTime(name, value))
  }
  return value
}

function badTime(name: string, value: unknown): string {
  const given = typeof value === 'number' ? String(value) : typeName(value)
  return `${name}: expected at least 0 milliseconds, got ${given}`
}
