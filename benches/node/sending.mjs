// Sends records: `calls` in all, `inFlight` of them at once, or `bulk` in one go.
import { disconnected, kafkajs, rdkafkaProducer } from './peers.mjs'
import { answerRounds, BINDING, crowd, options, PAYLOAD, packagesOf } from './rounds.mjs'

const KAFKAJS_BATCH = 5_000
const WARM_UP_CALLS = 200

const senders = {
  async bindwright(packages, { resources }) {
    const { Client, BindwrightError } = packages('bindwright')
    const client = await Client.open({ resources })
    return {
      send: (key) =>
        client.invokeBinding(BINDING, 'create', PAYLOAD, key && { metadata: { partitionKey: key } }),
      async bulk(count) {
        const replies = await client.invokeMany(BINDING, 'create', new Array(count).fill(PAYLOAD))
        return replies.filter((reply) => reply instanceof BindwrightError).length
      },
      close: () => client.close(),
    }
  },

  async kafkajs(packages, given) {
    const producer = kafkajs(packages, given).producer()
    await producer.connect()
    const { topic } = given
    return {
      send: (key) => producer.send({ topic, messages: [{ key, value: PAYLOAD }] }),
      // One request of all would be larger than brokers take.
      async bulk(count) {
        const sent = []
        for (let from = 0; from < count; from += KAFKAJS_BATCH) {
          const messages = Array.from({ length: Math.min(KAFKAJS_BATCH, count - from) }, () => ({ value: PAYLOAD }))
          sent.push(producer.send({ topic, messages }))
        }
        await Promise.all(sent)
        return 0
      },
      close: () => producer.disconnect(),
    }
  },

  async 'node-rdkafka'(packages, given) {
    const producer = await rdkafkaProducer(packages, given)
    const { topic } = given
    return {
      send: (key) =>
        new Promise((resolve, reject) => {
          const told = (error) => (error ? reject(error) : resolve())
          producer.produce(topic, null, PAYLOAD, key, null, told)
        }),
      bulk: (count) =>
        new Promise((resolve) => {
          let [left, failed] = [count, 0]
          const told = (error) => {
            failed += error ? 1 : 0
            left--
            if (left === 0) {
              resolve(failed)
            }
          }
          for (let number = 0; number < count; number++) {
            producer.produce(topic, null, PAYLOAD, undefined, null, told)
            if (number % 500 === 0) {
              producer.poll()
            }
          }
        }),
      // Only during its own turn: polling costs a processor something, also for nothing.
      begin: () => producer.setPollInterval(1),
      end: () => producer.setPollInterval(0),
      close: () => disconnected(producer),
    }
  },
}

const given = options()
const sender = await senders[given.peer](packagesOf(given.packages), given)

async function awaited({ calls, inFlight, keyed }) {
  if (inFlight === 1) {
    for (let call = 0; call < Math.min(WARM_UP_CALLS, calls); call++) {
      await sender.send(undefined)
    }
  }
  return crowd((number) => sender.send(keyed ? `key-${number}` : undefined), calls, inFlight)
}

async function bulk(count) {
  const start = performance.now()
  const failed = await sender.bulk(count)
  if (failed > 0) {
    throw new Error(`${failed} of ${count} records failed`)
  }
  return { rate: count / ((performance.now() - start) / 1e3) }
}

await answerRounds(
  async (round) => {
    sender.begin?.()
    const figures = await (round.bulk === undefined ? awaited(round) : bulk(round.bulk))
    sender.end?.()
    return figures
  },
  () => sender.close(),
)
