#!/usr/bin/env node

// The command `bindwright`, which the native library brings along.
const { native } = require('../dist/native.js')

// Node's own answer to these signals raises them again; the command, which calls it too, would never get past that.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => undefined)
}
process.exitCode = native.runCommand(process.argv.slice(2))
