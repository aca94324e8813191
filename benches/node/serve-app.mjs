// An application behind `bindwright serve` that takes every event over HTTP, and counts. It answers every line on its
// standard input with the count, and ends with it.

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'

let count = 0
const server = createServer((request, response) => {
  if (request.method === 'POST') count++
  request.resume()
  request.on('end', () => response.end())
})
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ port: server.address().port }))
})
const lines = createInterface({ input: process.stdin })
lines.on('line', () => console.log(JSON.stringify({ count })))
lines.on('close', () => process.exit(0))
