// Packs what npm gets: the main package, and one package for each native library that is named.
//
//   node scripts/pack.mjs --out FOLDER [--notices FILE] linux-x64-gnu=LIBRARY ...
//
// The main package depends on the platform packages only here: in a checkout the library lies beside it.
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const PACKAGE = join(import.meta.dirname, '..')
const LICENCE = join(PACKAGE, '..', 'LICENSE')

const { values, positionals } = parseArgs({
  options: { out: { type: 'string' }, notices: { type: 'string' } },
  allowPositionals: true,
})
const out = resolve(values.out)
mkdirSync(out, { recursive: true })
const staging = mkdtempSync(join(tmpdir(), 'bindwright-pack-'))
try {
  pack(stageMain())
  for (const given of positionals) {
    const [name, library] = given.split('=')
    pack(stagePlatform(name, library))
  }
} finally {
  rmSync(staging, { recursive: true })
}

function manifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

function stageMain() {
  const folder = join(staging, 'bindwright')
  for (const part of ['dist', 'bin', 'README.md']) {
    cpSync(join(PACKAGE, part), join(folder, part), { recursive: true })
  }
  const { devDependencies: _tools, scripts: _ours, ...main } = manifest(PACKAGE)
  const platforms = readdirSync(join(PACKAGE, 'npm')).map((name) => manifest(join(PACKAGE, 'npm', name)))
  for (const { name, version } of platforms) {
    if (version !== main.version) throw new Error(`${name} has the version ${version}, and bindwright ${main.version}`)
  }
  main.optionalDependencies = Object.fromEntries(platforms.map(({ name, version }) => [name, version]))
  return finish(folder, main)
}

function stagePlatform(name, library) {
  const source = join(PACKAGE, 'npm', name)
  const folder = join(staging, name)
  cpSync(source, folder, { recursive: true })
  copyFileSync(library, join(folder, 'bindwright.node'))
  if (values.notices) copyFileSync(values.notices, join(folder, 'THIRD-PARTY-NOTICES'))
  return finish(folder, manifest(source))
}

function finish(folder, contents) {
  copyFileSync(LICENCE, join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(contents, undefined, 2)}\n`)
  return folder
}

function pack(folder) {
  const answer = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // npm 12 answers with an object that has the packages' names, older ones with a list.
  const [packed] = Object.values(JSON.parse(answer))
  console.log(join(out, packed.filename))
}
