#!/usr/bin/env node

// The command `bindwright`, which the native library brings along.
const { native } = require('../dist/native.js')

process.exitCode = native.runCommand(process.argv.slice(2))
