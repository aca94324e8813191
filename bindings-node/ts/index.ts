/**
 * Bindings to outside systems, described in component YAML, inside your own process.
 *
 * `Client` calls bindings and receives events. Every error is a `BindwrightError`. Times are milliseconds.
 *
 * @packageDocumentation
 */
export { Client } from './client.js'
export type { ErrorCode } from './codes.js'
export type { ComponentInfo, Ledger, Reload } from './components.js'
export type { Data, Metadata } from './data.js'
export { BindwrightError } from './errors.js'
export { BindingEvent } from './event.js'
export { Events } from './events.js'
export type { BatchAnswer, BatchHandler, Handler } from './handling.js'
export type { CallManyOptions, CallOptions } from './invoking.js'
export type { Logger, LogLevel, LogRecord } from './logs.js'
export type { InputName, Operation, OutputName } from './names.js'
export type { ClientOptions, Transport } from './options.js'
export { type Emission, Outcome } from './outcomes.js'
export { Reply } from './reply.js'
