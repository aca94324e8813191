// A broker in this process and a folder with one component, `orders`, that sends to it and receives from it.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const { DevBroker, NativeClient } = createRequire(import.meta.url)('../bindwright.node')

export function component(broker) {
  const folder = mkdtempSync(join(tmpdir(), 'bindwright-'))
  const settings = { brokers: broker.bootstrap, topics: 'orders', publishTopic: 'orders', consumerGroup: 'smoke',
    initialOffset: 'oldest', authType: 'none' }
  const lines = Object.entries(settings).map(([name, value]) => `  - {name: ${name}, value: "${value}"}`)
  writeFileSync(join(folder, 'orders.yaml'), `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders}
spec:
  type: bindings.kafka
  version: v1
  metadata:
${lines.join('\n')}
`)
  return folder
}
