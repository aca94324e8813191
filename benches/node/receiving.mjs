// Receives the events of a topic from its start, in a new group each round.
import { disconnected, kafkajs, rdkafkaConsumer } from './peers.mjs'
import { answerRounds, BINDING, Counter, options, packagesOf } from './rounds.mjs'

const BATCH = 1_000
const COMMIT_MS = 1_000

const given = options()
const packages = packagesOf(given.packages)

async function bindwright({ resources }, receive) {
  const { Client } = packages('bindwright')
  const client = await Client.open({ resources })
  await receive(client)
  await client.close()
}

const ways = {
  'bindwright handler': (round, counter) =>
    bindwright(round, (client) => {
      client.onBinding(BINDING, async (event) => {
        if (event.data !== null && !counter.add(1)) {
          client.stop()
        }
      })
      return client.run()
    }),

  'bindwright batches': (round, counter) =>
    bindwright(round, (client) => {
      const handle = async (events) => {
        if (!counter.add(events.reduce((sum, event) => sum + (event.data !== null), 0))) {
          client.stop()
        }
      }
      client.onBinding(BINDING, handle, { batch: BATCH })
      return client.run()
    }),

  'bindwright for await': (round, counter) =>
    bindwright(round, async (client) => {
      for await (const event of client.events(BINDING)) {
        const more = event.data === null || counter.add(1)
        event.ack()
        if (!more) {
          break
        }
      }
    }),

  'kafkajs eachMessage': (round, counter) =>
    kafkajsRun(round, (stop) => ({
      eachMessage: async ({ message }) => {
        if (message.value !== null && !counter.add(1)) {
          stop()
        }
      },
    })),

  'kafkajs eachBatch': (round, counter) =>
    kafkajsRun(round, (stop) => ({
      eachBatch: async ({ batch }) => {
        if (!counter.add(batch.messages.reduce((sum, message) => sum + (message.value !== null), 0))) {
          stop()
        }
      },
    })),

  async 'node-rdkafka stream'(round, counter) {
    const { KafkaConsumer } = packages('node-rdkafka')
    const stream = KafkaConsumer.createReadStream(
      { 'metadata.broker.list': given.bootstrap, 'group.id': round.group, 'enable.auto.commit': false },
      { 'auto.offset.reset': 'earliest' },
      { topics: [given.topic], fetchSize: BATCH, waitInterval: 0 },
    )
    const commit = commits(stream.consumer)
    for await (const message of stream) {
      if (message.value !== null && !counter.add(1)) {
        break
      }
      commit()
    }
  },

  async 'node-rdkafka consume'(round, counter) {
    const consumer = await rdkafkaConsumer(packages, { ...given, ...round })
    const commit = commits(consumer)
    let more = true
    while (more) {
      const messages = await new Promise((resolve, reject) => {
        consumer.consume(BATCH, (error, messages) => (error ? reject(error) : resolve(messages)))
      })
      more = counter.add(messages.reduce((sum, message) => sum + (message.value !== null), 0))
      commit()
    }
    await disconnected(consumer)
  },
}

/** Commits what was handed out, every second. */
function commits(consumer) {
  let next = performance.now() + COMMIT_MS
  let calls = 0
  return () => {
    calls++
    if (calls % 64 === 0 && performance.now() >= next) {
      consumer.commit()
      next = performance.now() + COMMIT_MS
    }
  }
}

/** kafkajs commits by itself what was handled: after each batch, or each so many seconds. */
async function kafkajsRun({ group }, handlers) {
  const consumer = kafkajs(packages, given).consumer({ groupId: group })
  await consumer.connect()
  await consumer.subscribe({ topics: [given.topic], fromBeginning: true })
  await new Promise((resolve, reject) => consumer.run(handlers(resolve)).catch(reject))
  await consumer.disconnect()
}

await answerRounds(async (round) => {
  const counter = new Counter(round.events)
  await ways[given.way](round, counter)
  return counter.figures()
})
