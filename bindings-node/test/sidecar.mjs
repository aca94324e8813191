// `bindwright serve` as a process beside the tests, and servers that stand for one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { until } from './fixture.mjs'

export const COMMAND = join(import.meta.dirname, '..', 'bin', 'bindwright.js')
export const WAYS = ['sidecar-grpc', 'sidecar-http']

const given = new Set()

/** A port that nobody listens on and nobody got before; under the range from which outgoing connections get theirs. */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000)
    if (given.has(port)) continue
    given.add(port)
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (isFree) {
      server.close()
      await once(server, 'close')
      return port
    }
  }
}

/**
 * A sidecar with these components; ready when this resolves. `options(way)` is what a client of it is told, and
 * `variables` how a program finds it.
 */
export class Sidecar {
  static async start(resources, { flags = [], appProtocol, variables = {}, ports = {} } = {}) {
    const appPort = appProtocol === undefined ? undefined : await freePort()
    const app = appPort === undefined ? [] : ['--app-port', String(appPort), '--app-protocol', appProtocol]
    const { http = 0, grpc = 0 } = ports
    const listening = ['--dapr-http-port', http, '--dapr-grpc-port', grpc, '--metrics-port', 0].map(String)
    const paths = ['--app-id', 'node-test', '--resources-path', resources]
    const child = spawn(process.execPath, [COMMAND, 'serve', ...paths, ...listening, ...app, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...variables },
    })
    const sidecar = new Sidecar(child, appPort)
    try {
      await sidecar.ready()
    } catch (error) {
      child.kill('SIGKILL')
      throw new Error(`the sidecar did not start: ${error.message}\n${sidecar.lines.join('\n')}`)
    }
    return sidecar
  }

  constructor(child, appPort) {
    this.child = child
    this.appPort = appPort
    this.lines = []
    this.over = once(child, 'exit')
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line))
    }
  }

  async ready() {
    const address = (what) => this.lines.map((line) => line.match(`serving ${what} on (\\S+)`)?.[1]).find(Boolean)
    await until('the sidecar listens', () => {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}`)
      return address('HTTP') && address('gRPC')
    })
    this.http = address('HTTP')
    this.grpc = address('gRPC')
    await until('components are loaded', async () => {
      const answer = await fetch(`http://${this.http}/v1.0/healthz/outbound`).catch(() => undefined)
      return answer?.ok
    })
  }

  options(way) {
    const sidecarEndpoint = way === 'sidecar-grpc' ? this.grpc : `http://${this.http}`
    return { transport: way, sidecarEndpoint, ...(this.appPort !== undefined && { appPort: this.appPort }) }
  }

  async end(signal = 'SIGTERM') {
    this.child.kill(signal)
    await this.over
  }
}

/** A sidecar that ends with the test. */
export async function besides(context, resources, options) {
  const sidecar = await Sidecar.start(resources, options)
  context.after(() => sidecar.end('SIGKILL'))
  return sidecar
}
