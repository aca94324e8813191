// Handles the orders of the binding `checkout` until Ctrl-C.
import { parseArgs } from 'node:util'
import { Client } from 'bindwright'

// Left out, the components are those in ./components, or those of a sidecar.
const { values } = parseArgs({ options: { resources: { type: 'string' } } })

const client = await Client.open({ resources: values.resources, logger: console, logLevel: 'warn' })

client.onBinding('checkout', (event) => {
  // returning settles the event, throwing has it delivered again
  const order = event.json()
  console.log('Received order', order.orderId)
})

await client.run()
