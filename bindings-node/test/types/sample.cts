// The same for `require`.
import bindwright = require('bindwright')
import testing = require('bindwright/testing')

async function main(): Promise<void> {
  const client = await bindwright.Client.open()
  const reply: bindwright.Reply = await client.invokeBinding('checkout', 'create')
  const sandbox: testing.Sandbox = new testing.Sandbox()
  await client.close({ drainMs: 5 })
}
