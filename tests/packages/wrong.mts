// Every line with a comment at its end is wrong, and TypeScript says so with these words.
import { BindwrightError, Client, type ErrorCode, Outcome } from 'bindwright'
import { DaprClient } from 'bindwright/dapr'
import { Sandbox } from 'bindwright/testing'

const client = await Client.open()
await client.invokeBinding('checkout') // Expected 2-4 arguments, but got 1
await client.invokeBinding('checkout', 'create', 1, { timeout: 5 }) // 'timeout' does not exist
await client.invokeBinding('checkout', 'create', 1, { timeoutMs: '5s' }) // Type 'string' is not assignable to type 'number'
await client.invokeBinding('checkout', 'create', 1, { metadata: { a: 1 } }) // Type 'number' is not assignable to type 'string'
await client.invokeMany('checkout', 'create', 5) // Argument of type 'number'
client.onBinding('orders', (event) => event.jsn()) // Did you mean 'json'
client.onBinding('orders', () => Outcome.retry('soon')) // Argument of type 'string'
client.onBinding('orders', (events) => events.length) // Property 'length' does not exist
await Client.open({ ressources: '.' }) // Did you mean to write 'resources'
await Client.open({ logLevel: 'loud' }) // Type '"loud"' is not assignable
const [first] = await client.invokeMany('checkout', 'create', [1])
first?.text() // Property 'text' does not exist on type 'BindwrightError | Reply'
const code: ErrorCode = 'UNAVAILBLE' // Did you mean '"UNAVAILABLE"'
export const isSent = (error: BindwrightError): boolean => error.code === 'SENT' // no overlap
new Sandbox().fail('checkout', 'NO_SUCH') // Argument of type '"NO_SUCH"'
await new DaprClient().bindings.send('a', 'create') // Did you mean 'binding'
for await (const event of client.events('orders')) event.acknowledge() // Property 'acknowledge' does not exist
