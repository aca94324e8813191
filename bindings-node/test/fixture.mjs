// Folders with components, and what tests wait for.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'

const require = createRequire(import.meta.url)
export const { native } = require('../dist/native.js')
export const { translated } = require('../dist/errors.js')

// Handlers do not keep a process alive, and when nothing does, the runner gives up on every test that is left: a test may
// wait for an event that is not there yet.
let alive
before(() => {
  alive = setInterval(() => undefined, 2 ** 31 - 1)
})
after(() => clearInterval(alive))

let queues = 0

/** A folder that goes with the test. */
export function folder(context, files) {
  const path = mkdtempSync(join(tmpdir(), 'bindwright-node-'))
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(path, name), text)
  }
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The document of a queue inside this process that no other test has. */
export function memory(name, settings = {}, queue = `node-${process.pid}-${queues++}`) {
  return component(name, 'bindings.memory', { queue, retryPause: '5ms', ...settings })
}

export function component(name, type, settings) {
  const lines = Object.entries(settings).map(([key, value]) => `    - {name: ${key}, value: "${value}"}`)
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: ${name}
spec:
  type: ${type}
  version: v1
  metadata:
${lines.join('\n')}
`
}

/** Waits until a condition holds. */
export async function until(what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new Error(`waited in vain: ${what}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** A promise and what settles it. */
export function deferred() {
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

/** Collects garbage until a condition holds. */
export async function collected(what, condition) {
  await until(what, () => {
    globalThis.gc()
    return condition()
  })
}

/** Something that is closed after the test. */
export function opened(context, closeable) {
  context.after(() => closeable.close())
  return closeable
}

/** Runs a program that has `Client`, `Sandbox` and the path `resources`; how it ended. */
export function ended(context, text, options = {}) {
  const dist = join(import.meta.dirname, '..', 'dist')
  const resources = folder(context, { 'a.yaml': memory('orders') })
  const head = `import { Client, Outcome } from '${dist}/index.mjs'
    import { Sandbox } from '${dist}/testing.mjs'
    const resources = ${JSON.stringify(resources)};`
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--input-type=module', ...(options.arguments ?? [])],
    { input: `${head}\n${text}`, encoding: 'utf8', timeout: 100_000, ...options },
  )
  return { status, signal, stdout, stderr }
}

/** What a program printed as JSON. */
export function program(context, text) {
  const { status, stdout, stderr } = ended(context, text)
  if (status !== 0) throw new Error(`it ended with ${status}: ${stderr}`)
  return JSON.parse(stdout)
}
