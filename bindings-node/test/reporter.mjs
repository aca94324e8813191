// What `make test` shows of the tests in Node: a dot for each, and at the end why some were left out, and what failed,
// with what its file had printed. Node's own reporters show either every test or no file of one that failed.

import { relative, resolve } from 'node:path'
import { inspect } from 'node:util'

const shown = (file) => relative(process.cwd(), file ?? '')

// Node wraps what a test threw, and says of a parent only how many of its subtests failed. A file that died has more.
function reason(error) {
  const end = error?.signal ?? error?.exitCode
  const text = inspect(error?.code === 'ERR_TEST_FAILURE' ? (error.cause ?? error) : error)
  return end === undefined || end === null ? text : `${text}: ended with ${end}`
}

export default async function* reporter(events) {
  const failures = []
  const printed = new Map()
  const reasons = new Map()
  let passed = 0
  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      // Newer ones name it from the folder that they were started in.
      const file = resolve(data.file)
      printed.set(file, (printed.get(file) ?? '') + data.message)
    } else if (type === 'test:pass') {
      if (data.skip === undefined) {
        passed += 1
        yield '.'
      } else {
        reasons.set(data.skip, (reasons.get(data.skip) ?? 0) + 1)
        yield 's'
      }
    } else if (type === 'test:fail') {
      failures.push(data)
      yield 'F'
    }
  }
  yield '\n'
  for (const [reason, count] of reasons) {
    yield `left out, ${count}: ${reason}\n`
  }
  if (failures.length > 0) {
    yield '\nfailures:\n'
  }
  for (const { file, line, name, details } of failures) {
    yield `\n---- ${shown(file)}:${line} ${name} (${Math.round(details.duration_ms)} ms)\n`
    yield `${reason(details.error)}\n`
  }
  for (const file of new Set(failures.map((failure) => failure.file))) {
    if (printed.has(file)) {
      yield `\n---- printed by ${shown(file)}\n${printed.get(file)}\n`
    }
  }
  const leftOut = [...reasons.values()].reduce((sum, count) => sum + count, 0)
  yield `\n${passed} passed, ${failures.length} failed, ${leftOut} left out\n`
}
