/** Calls for many payloads: what is sent, and what comes back. */
import { withTrace } from './context.js'
import { bytesOf, type Data, flatten, type Metadata } from './data.js'
import { type BindwrightError, fault } from './errors.js'
import type { ErrorParts, ManyParts, ReplyParts } from './native.js'
import { packed } from './packed.js'
import type { Reply } from './reply.js'

/** A payload that can be sent. */
export interface Sendable {
  readonly place: number
  readonly bytes: Uint8Array | undefined
  readonly metadata: string | undefined
}

/** What can be sent, and the errors of what cannot in their places. */
export function sortOut(
  payloads: Data[],
  metadata: Metadata | readonly (Metadata | undefined)[] | undefined,
  sender: { component: string; operation: string },
): {
  sendable: Sendable[]
  results: (Reply | BindwrightError)[]
  /** The metadata of all of them, where they share it. */
  forAll: [string | undefined] | undefined
} {
  const each = Array.isArray(metadata) ? (metadata as readonly (Metadata | undefined)[]) : undefined
  if (each !== undefined && each.length !== payloads.length) {
    const message = `metadata: expected an entry for each of ${payloads.length} payloads, got ${each.length}`
    throw fault('INVALID_REQUEST', message, sender)
  }
  const flattened = (one: Metadata | undefined) => packed(withTrace(flatten(one, sender)))
  const all = each === undefined ? flattened(metadata as Metadata | undefined) : undefined
  const results = new Array<Reply | BindwrightError>(payloads.length)
  const sendable: Sendable[] = []
  payloads.forEach((payload, place) => {
    try {
      const metadata = each === undefined ? all : flattened(each[place])
      sendable.push({ place, bytes: bytesOf(payload, sender), metadata })
    } catch (error) {
      results[place] = error as BindwrightError
    }
  })
  return { sendable, results, forAll: each === undefined ? [all] : undefined }
}

/** The answers of a call for many, each with its index. */
export function eachAnswer(
  { texts, ends, others }: ManyParts,
  told: (answer: ReplyParts | ErrorParts, index: number) => void,
): void {
  const special = new Map(others.map(({ place, answer }) => [place, answer]))
  let text = ''
  let from = 0
  for (let index = 0; index < ends.length; index++) {
    if (index % REPLIES_OF_A_TEXT === 0) {
      text = texts[index / REPLIES_OF_A_TEXT] as string
      from = 0
    }
    const end = ends[index] as number
    told(special.get(index) ?? text.slice(from, end), index)
    from = end
  }
}

/** As in the native part. */
const REPLIES_OF_A_TEXT = 64
