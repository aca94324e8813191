import { type InspectOptions, inspect } from 'node:util'

/** Data that arrived: of a reply, of an event, of an invocation that a fake saw. */
export abstract class Content {
  /** The bytes; `null` where there is no data at all, as with a tombstone on Kafka. */
  abstract get data(): Buffer | null

  /** Names and values, as the component's documentation lists them. */
  abstract get metadata(): Readonly<Record<string, string>>

  /** The data as text (UTF-8; what is not is replaced by U+FFFD); `''` where there is none. */
  text(): string {
    return this.data?.toString('utf8') ?? ''
  }

  /**
   * The value that the data describes in JSON; `null` where there is no data.
   *
   * @throws {SyntaxError} The data is not JSON.
   */
  json<T = unknown>(): T {
    const data = this.data
    return (data === null ? null : JSON.parse(data.toString('utf8'))) as T
  }

  /** What `console.log` shows: names and values, and the beginning of the data. */
  [inspect.custom](depth: number, options: InspectOptions): string {
    const name = this.constructor.name
    const { data, metadata } = this
    return depth < 0 ? `[${name}]` : `${name} ${inspect({ ...this, data, metadata }, options)}`
  }
}
