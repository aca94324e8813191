/** Invocations: what is given is checked, the trace goes along, and what is answered becomes replies and errors. */
import { abortable, endedBy } from './aborting.js'
import { invoke, invokeAbortably, type Targets } from './calls.js'
import { type Data, flatten, type Metadata, payloadOf, payloadsOf, type Sender, timeOf, typeName } from './data.js'
import { BindwrightError, fault, isParts, translated } from './errors.js'
import { eachAnswer, type Sendable, sortOut } from './many.js'
import { endless, native } from './native.js'
import { packed } from './packed.js'
import { Reply } from './reply.js'
import { beginCall } from './tracing.js'

/** What a call may say beside its data. */
export interface CallOptions {
  /** Names and values for the component, as its documentation lists them. */
  metadata?: Metadata | undefined
  /** Bounds the whole call, connecting included; the client's `timeoutMs` when left out. */
  timeoutMs?: number | undefined
  /** Aborted, it ends the call with the code `CANCELLED`; what was handed to the backend may still take effect. */
  signal?: AbortSignal | undefined
}

/** What a call of many may say; `metadata` is for all of them, or a list with an entry for each. */
export interface CallManyOptions extends Omit<CallOptions, 'metadata'> {
  metadata?: Metadata | readonly (Metadata | undefined)[] | undefined
}

const KNOWN: ReadonlySet<string> = new Set<keyof CallOptions>(['metadata', 'timeoutMs', 'signal'])

/** See `Client.invokeBinding`. */
export async function invokeOne(
  targets: Targets,
  name: string,
  operation: string,
  data: Data,
  options: CallOptions | undefined,
): Promise<Reply> {
  const sender = senderOf(name, operation)
  checkOptions(options, sender)
  const payload = payloadOf(data, sender)
  const own = flatten(options?.metadata, sender)
  const timeoutMs = timeOf('timeoutMs', options?.timeoutMs, sender)
  const signal = options?.signal ?? undefined
  const call = beginCall(name, operation, [own])
  try {
    const metadata = packed(call.carried(own))
    const target = targets.of(name, operation)
    const answer =
      signal === undefined
        ? invoke(target, payload, metadata, timeoutMs)
        : endedBy(signal, sender, () => invokeAbortably(target, payload, metadata, timeoutMs))
    const parts = answer instanceof Promise ? await answer : answer
    if (isParts(parts)) {
      throw new BindwrightError(parts)
    }
    return new Reply(parts)
  } catch (thrown) {
    throw call.failed(translated(thrown))
  } finally {
    call.ended()
  }
}

/** See `Client.invokeMany`. */
export async function invokeAll(
  targets: Targets,
  name: string,
  operation: string,
  payloads: Iterable<Data>,
  options: CallManyOptions | undefined,
): Promise<(Reply | BindwrightError)[]> {
  const sender = senderOf(name, operation)
  checkOptions(options, sender)
  const all = payloadsOf(payloads, sender)
  const timeoutMs = timeOf('timeoutMs', options?.timeoutMs, sender)
  const signal = options?.signal ?? undefined
  const { sendable, flats, results } = sortOut(all, options?.metadata, sender)
  const call = beginCall(name, operation, flats)
  try {
    const data = sendable.map((one) => one.data)
    const metadata = flats.map((flat) => packed(call.carried(flat)))
    const target = targets.of(name, operation)
    const begin = (key?: number) => native.invokeMany(key, target, data, metadata, timeoutMs)
    const answers = await (signal === undefined ? begin() : abortable(signal, sender, begin))
    if (answers === undefined) {
      return endless
    }
    eachAnswer(answers, (answer, index) => {
      const { place } = sendable[index] as Sendable
      results[place] = isParts(answer) ? new BindwrightError(answer) : new Reply(answer)
    })
    call.answered(results)
    return results
  } catch (thrown) {
    throw call.failed(translated(thrown))
  } finally {
    call.ended()
  }
}

function senderOf(name: unknown, operation: unknown): { component: string; operation: string } {
  if (typeof name !== 'string' || typeof operation !== 'string') {
    const given = `${typeName(name)} and ${typeName(operation)}`
    throw fault('INVALID_REQUEST', `expected the names of a binding and an operation, got ${given}`)
  }
  return { component: name, operation }
}

/** Refuses what a program in JavaScript may have mistyped, such as `timeout`. */
function checkOptions(options: object | null | undefined, sender: Sender): void {
  if (options === undefined || options === null) {
    return
  }
  if (typeof options !== 'object') {
    throw fault('INVALID_REQUEST', `expected an object with options, got ${typeName(options)}`, { ...sender })
  }
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) {
      const advice = `Options are: ${Array.from(KNOWN).join(', ')}.`
      throw fault('INVALID_REQUEST', `${name}: no such option`, { ...sender, advice })
    }
  }
}
