#!/usr/bin/env node

// The command `bindwright`, which the native library brings along.
let native
try {
  ;({ native } = require('../dist/native.js'))
} catch (error) {
  // What is missing on this machine; where it was noticed helps nobody.
  console.error(error.message)
  process.exit(1)
}

// Node's own answer to these signals raises them again; the command, which calls it too, would never get past that.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => undefined)
}
process.exitCode = native.runCommand(process.argv.slice(2))
