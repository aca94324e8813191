// A program of a user, compiled and never run: every call has a type, and what is wrong is an error.
import {
  type BindingEvent,
  BindwrightError,
  Client,
  type ComponentInfo,
  type ErrorCode,
  type Handler,
  Outcome,
  type Reply,
  type Transport,
} from 'bindwright'
import { CommunicationProtocolEnum, DaprClient, DaprServer } from 'bindwright/dapr'
import { Answer, Sandbox } from 'bindwright/testing'

interface Order {
  orderId: number
}

await using client = await Client.open({
  resources: ['./components', new URL('file:///etc/components')],
  logger: console,
})
await using remote = await Client.open({
  transport: 'sidecar-grpc',
  sidecarEndpoint: 'localhost:50001',
  sidecarToken: process.env['TOKEN'],
  sidecarCa: new URL('file:///etc/ca.pem'),
  maxMessageSize: 16 * 2 ** 20,
  maxRetries: -1,
  appPort: 3000,
  appToken: undefined,
})
const way: Transport = remote.transport
const [component]: ComponentInfo[] = await remote.components()
const reply: Reply = await client.invokeBinding(
  'checkout',
  'create',
  { orderId: 1 },
  { timeoutMs: 5, metadata: { a: 'b' } },
)
const order: Order = reply.json<Order>()
const data: Buffer | null = reply.data
const offset: string | undefined = reply.metadata['offset']
const results: (Reply | BindwrightError)[] = await client.invokeMany('checkout', 'create', new Set([1, 'a']))
const handler: Handler = async (event) => event.json<Order>().orderId
client.onBinding('a', handler).onBinding('b', () => Outcome.retry(5))
client.onBinding(
  'c',
  async (events) => events.map((event: BindingEvent) => (event.attempt > 1 ? Outcome.drop : undefined)),
  {
    batch: 10,
  },
)
for await (const event of client.events('orders')) {
  const counted: boolean = event.ack()
  event.emit({ binding: 'next', data: event.data })
}
try {
  await client.run({ drainMs: 5 })
} catch (error) {
  if (error instanceof BindwrightError) {
    const code: ErrorCode = error.code
    const again: boolean | undefined = error.retriable
  }
}
using sandbox = new Sandbox({ longestPauseMs: 1 })
sandbox.reply('checkout', (invocation) => new Answer(invocation.json()), { times: 1 })
sandbox.fail('checkout', 'UNAVAILABLE')
await new DaprClient({ daprHost: 'localhost', communicationProtocol: CommunicationProtocolEnum.HTTP }).binding.send(
  'a',
  'b',
  {},
)
await new DaprServer().binding.receive('a', async (received: unknown) => received)
// With types of the program's own, as the SDK takes them.
await new DaprServer().binding.receive('a', async (received: Order) => received.orderId)
const answer: object = await new DaprClient().binding.send('a', 'b', order, metadataOfSdk)
declare const metadataOfSdk: object
// What may be left out may be undefined.
declare const signal: AbortSignal | undefined
declare const time: number | undefined
await client.invokeBinding('checkout', 'create', 1, { timeoutMs: time, signal })
await client.ready({ timeoutMs: time, signal })
await client.close({ drainMs: time })
await Client.open({ timeoutMs: time, appId: process.env['APP'] })
await sandbox.push('a').wait({ timeoutMs: time })

// @ts-expect-error no such code
sandbox.fail('checkout', 'NO_SUCH')
// @ts-expect-error metadata are texts
await client.invokeBinding('checkout', 'create', 1, { metadata: { a: 1 } })
// @ts-expect-error no such transport
await Client.open({ transport: 'sidecar' })
// @ts-expect-error no such option
await Client.open({ ressources: '.' })
// @ts-expect-error a list of outcomes has outcomes
client.onBinding('d', async (events) => events, { batch: 10 })
