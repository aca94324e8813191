import { Content } from './content.js'
import { unflatten } from './data.js'
import type { ReplyParts } from './native.js'
import { unpacked } from './packed.js'

/** What a binding answered to one invocation. */
export class Reply extends Content {
  readonly #parts: ReplyParts
  #metadata: Readonly<Record<string, string>> | undefined

  /** @internal */
  constructor(parts: ReplyParts) {
    super()
    this.#parts = parts
  }

  /** The bytes; `null` where the operation answers without data. */
  override get data(): Buffer | null {
    return typeof this.#parts === 'string' ? null : this.#parts[0]
  }

  /** Names and values from the component, for example the offset of a record. */
  override get metadata(): Readonly<Record<string, string>> {
    const parts = this.#parts
    this.#metadata ??= unflatten(unpacked(typeof parts === 'string' ? parts : parts[1]))
    return this.#metadata
  }
}
