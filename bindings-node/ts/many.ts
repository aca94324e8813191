/** Calls for many payloads: what is sent, and what comes back. */
import { type Data, flatten, type Metadata, payloadOf, type Sender } from './data.js'
import { type BindwrightError, fault } from './errors.js'
import type { ErrorParts, ManyParts, Payload, ReplyParts } from './native.js'
import type { Reply } from './reply.js'

/** A payload that can be sent, and its place among all. */
export interface Sendable {
  readonly place: number
  readonly data: Payload
}

interface Sorted {
  readonly sendable: Sendable[]
  /** The metadata of each that can be sent, or one for all. */
  readonly flats: (string[] | undefined)[]
  /** The errors of what cannot be sent, in their places. */
  readonly results: (Reply | BindwrightError)[]
}

/** Sorts out what cannot be sent. */
export function sortOut(
  payloads: Data[],
  metadata: Metadata | readonly (Metadata | undefined)[] | undefined,
  sender: Sender,
): Sorted {
  const each = Array.isArray(metadata) ? (metadata as readonly (Metadata | undefined)[]) : undefined
  if (each !== undefined && each.length !== payloads.length) {
    const message = `metadata: expected an entry for each of ${payloads.length} payloads, got ${each.length}`
    throw fault('INVALID_REQUEST', message, { ...sender })
  }
  const flats = each === undefined ? [flatten(metadata as Metadata | undefined, sender)] : []
  const results = new Array<Reply | BindwrightError>(payloads.length)
  const sendable: Sendable[] = []
  payloads.forEach((payload, place) => {
    try {
      const data = payloadOf(payload, sender)
      if (each !== undefined) {
        flats.push(flatten(each[place], sender))
      }
      sendable.push({ place, data })
    } catch (error) {
      results[place] = error as BindwrightError
    }
  })
  return { sendable, flats, results }
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
