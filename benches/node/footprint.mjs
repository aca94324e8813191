// What a package costs by itself: `nothing`, calls of a binding that does nothing, or `memory` for one Kafka output.
import { readFileSync } from 'node:fs'
import { disconnected, kafkajs, rdkafkaProducer } from './peers.mjs'
import { answerRounds, BINDING, options, PAYLOAD, packagesOf } from './rounds.mjs'

const PAGE = 4096
const MIB = 2 ** 20

const given = options()
const packages = packagesOf(given.packages)

function residentMib() {
  return (Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * PAGE) / MIB
}

const outputs = {
  async bindwright() {
    const { Client } = packages('bindwright')
    const client = await Client.open({ resources: given.resources })
    await client.invokeBinding(BINDING, 'create', PAYLOAD)
    return () => client.close()
  },
  async kafkajs() {
    const producer = kafkajs(packages, given).producer()
    await producer.connect()
    await producer.send({ topic: given.topic, messages: [{ value: PAYLOAD }] })
    return () => producer.disconnect()
  },
  async 'node-rdkafka'() {
    const producer = await rdkafkaProducer(packages, { ...given, lingerMs: 0 })
    producer.setPollInterval(1)
    await new Promise((resolve) => producer.produce(given.topic, null, PAYLOAD, undefined, null, resolve))
    return () => disconnected(producer)
  },
}

async function memory() {
  const before = residentMib()
  const close = await outputs[given.peer]()
  const value = residentMib() - before
  await close()
  return { value }
}

async function nothing({ calls, inFlight }) {
  const { Client } = packages('bindwright')
  const client = await Client.open({ resources: given.resources })
  let next = 0
  const work = async () => {
    while (next < calls) {
      next++
      await client.invokeBinding('nothing', 'create', PAYLOAD)
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: inFlight }, work))
  const mean = ((performance.now() - began) / calls) * 1e3
  await client.close()
  return { mean }
}

await answerRounds(given.what === 'nothing' ? nothing : memory)
