// The receiver of the demo, as demo_receiver.py: counts what arrives until SIGTERM.
import { Client } from 'bindwright'

const tell = (news) => console.log(JSON.stringify(news))
const seen = new Set()
const counts = { probes: 0, deliveries: 0, unique: 0, last_ns: 0 }
const arrivalMs = []

const client = await Client.open({ resources: process.argv[2] })
client.onBinding('checkout', (event) => {
  const now = Number(process.hrtime.bigint())
  const order = event.json()
  if (order.orderId === -1) {
    counts.probes++
    return
  }
  counts.deliveries++
  counts.last_ns = now
  if (seen.has(order.orderId)) return
  seen.add(order.orderId)
  counts.unique = seen.size
  if (order.sentNs !== undefined) arrivalMs.push((now - order.sentNs) / 1e6)
})

const progress = setInterval(() => tell(counts), 50)
await client.run() // until SIGTERM
clearInterval(progress)
await client.close()
tell({ result: { ...counts, arrival_ms: arrivalMs } })
