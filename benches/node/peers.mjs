// The peers, opened as their users do; all wait for `acks=all`.

/** `{ host:port }` and a topic, from the harness. */
export function kafkajs(packages, { bootstrap }) {
  process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
  const { Kafka, logLevel } = packages('kafkajs')
  return new Kafka({ clientId: 'bench', brokers: [bootstrap], logLevel: logLevel.ERROR })
}

/** A connected producer of node-rdkafka, that reports each record to the function in its opaque. */
export async function rdkafkaProducer(packages, { bootstrap, lingerMs }) {
  const { Producer } = packages('node-rdkafka')
  const producer = new Producer(
    {
      'metadata.broker.list': bootstrap,
      'queue.buffering.max.ms': lingerMs,
      'queue.buffering.max.messages': 2_000_000,
      dr_cb: true,
    },
    { 'request.required.acks': -1 },
  )
  producer.on('delivery-report', (error, report) => report.opaque(error))
  await connected(producer)
  return producer
}

/** A consumer of node-rdkafka at the start of a topic, without automatic commits. */
export async function rdkafkaConsumer(packages, { bootstrap, topic, group }) {
  const { KafkaConsumer } = packages('node-rdkafka')
  const consumer = new KafkaConsumer(
    { 'metadata.broker.list': bootstrap, 'group.id': group, 'enable.auto.commit': false },
    { 'auto.offset.reset': 'earliest' },
  )
  await connected(consumer)
  consumer.subscribe([topic])
  return consumer
}

function connected(client) {
  return new Promise((resolve, reject) => {
    client.once('ready', resolve)
    client.connect({}, (error) => error && reject(error))
  })
}

export function disconnected(client) {
  return new Promise((resolve) => client.disconnect(() => resolve()))
}
