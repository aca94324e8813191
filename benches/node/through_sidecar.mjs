// Calls a binding of `bindwright serve`: through our package, or with Dapr's SDK for JavaScript.
import { answerRounds, crowd, options, packagesOf } from './rounds.mjs'

const WARM_UP_CALLS = 200
const given = options()
const isGrpc = given.way === 'sidecar-grpc'

const senders = {
  async bindwright() {
    const { Client } = packagesOf(given.packages)('bindwright')
    const sidecarEndpoint = isGrpc ? `127.0.0.1:${given.grpcPort}` : `http://127.0.0.1:${given.httpPort}`
    const client = await Client.open({ transport: given.way, sidecarEndpoint })
    return {
      send: () => client.invokeBinding(given.binding, 'create', given.order),
      close: () => client.close(),
    }
  },

  async dapr() {
    const { DaprClient, CommunicationProtocolEnum } = packagesOf(given.sdk)('@dapr/dapr')
    const client = new DaprClient({
      daprHost: '127.0.0.1',
      daprPort: String(isGrpc ? given.grpcPort : given.httpPort),
      communicationProtocol: isGrpc ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP,
    })
    return {
      send: () => client.binding.send(given.binding, 'create', given.order),
      close: () => client.stop(),
    }
  },
}

// The SDK tells on stdout what it does, where figures belong.
console.log = console.error
console.info = console.error
const sender = await senders[given.peer]()

await answerRounds(
  async ({ calls, inFlight }) => {
    for (let call = 0; call < Math.min(WARM_UP_CALLS, calls); call++) {
      await sender.send()
    }
    return crowd(() => sender.send(), calls, inFlight)
  },
  () => sender.close(),
)
