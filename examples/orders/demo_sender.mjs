// The sender of the demo, as demo_sender.py: some orders one by one, the others in lists.
import { once } from 'node:events'
import { Client } from 'bindwright'

const LIST = 500
const [folder, count, singles] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const tell = (news) => console.log(JSON.stringify(news))
const now = () => Number(process.hrtime.bigint())

const client = await Client.open({ resources: folder })
await client.invokeBinding('checkout', 'create', { orderId: -1 })
tell({ sent: 0 })
await once(process.stdin, 'data') // the receiver is there
process.stdin.destroy()

const invokeMs = []
for (let orderId = 0; orderId < singles; orderId++) {
  const began = now()
  await client.invokeBinding('checkout', 'create', { orderId, sentNs: began })
  invokeMs.push((now() - began) / 1e6)
  if (orderId % 100 === 0) tell({ sent: orderId })
}

let [sent, failed] = [singles, 0]
const listsNs = now()
for (let start = singles; start < count; start += LIST) {
  const length = Math.min(LIST, count - start)
  const orders = Array.from({ length }, (_, place) => ({ orderId: start + place }))
  const errors = (await client.invokeMany('checkout', 'create', orders)).filter((reply) => reply instanceof Error)
  if (errors.length > 0) console.error(`refused: ${errors[0].message}`)
  failed += errors.length
  sent += length - errors.length
  tell({ sent })
}
await client.close()
tell({ result: { sent, failed, invoke_ms: invokeMs, lists_ns: listsNs, in_lists: sent - singles } })
