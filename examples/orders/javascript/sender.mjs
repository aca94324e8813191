// Sends orders to the binding `checkout` until Ctrl-C.
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Client } from 'bindwright'

// Left out, the components are those in ./components, or those of a sidecar.
const { values } = parseArgs({
  options: { resources: { type: 'string' }, count: { type: 'string' }, interval: { type: 'string', default: '1' } },
})
const count = Number(values.count ?? Number.POSITIVE_INFINITY)

const client = await Client.open({ resources: values.resources, logger: console, logLevel: 'warn' })
for (let number = 1; number <= count; number++) {
  const orderId = Math.ceil(Math.random() * 1000)
  await client.invokeBinding('checkout', 'create', { orderId })
  console.log('Sent order', orderId)
  if (number < count) {
    await pause(Number(values.interval) * 1000)
  }
}
await client.close()
