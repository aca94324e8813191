// Writes the entries for `import` beside the ones for `require`. They hand on the same objects, so that a program in
// which one part imports and another requires has one class of each.
import { copyFileSync, writeFileSync } from 'node:fs'

for (const entry of ['index', 'testing', 'dapr']) {
  writeFileSync(`dist/${entry}.mjs`, `export * from './${entry}.js'\n`)
  copyFileSync(`dist/${entry}.mjs`, `dist/${entry}.d.mts`)
}
