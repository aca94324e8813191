// Folders with components, and what tests wait for.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
export const { native } = require('../dist/native.js')

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
