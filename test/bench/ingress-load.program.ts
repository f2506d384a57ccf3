// Asks for a page again and again, each time over a new connection, some at a time:
// `node ingress-load.program.ts PORT PATH REQUESTS AT-ONCE` prints how many ms that took and how
// many bytes came. It reads bytes and no HTTP, to leave the machine to those that are measured.

import { connect } from 'node:net'

/** The bytes of one answer; throws when the connection breaks before its end. */
function fetchBytes(port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0
    let head = ''
    const socket = connect(port, '127.0.0.1')
    socket.on('data', (chunk) => {
      if (bytes === 0) head = chunk.toString('latin1', 0, 15)
      bytes += chunk.length
    })
    socket.on('error', reject)
    socket.on('end', () => {
      if (/^HTTP\/1\.[01] 200/.test(head)) resolve(bytes)
      else reject(new Error(`port ${port}: not a page: ${head}`))
    })
    socket.write(`GET ${path} HTTP/1.0\r\nHost: page\r\n\r\n`)
  })
}

async function load(port: number, path: string, requests: number, atOnce: number): Promise<void> {
  const started = performance.now()
  let left = requests
  let bytes = 0
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      bytes += await fetchBytes(port, path)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, client))
  console.log(JSON.stringify({ ms: performance.now() - started, bytes }))
}

const [port = '', path = '', requests = '', atOnce = ''] = process.argv.slice(2)
await load(Number(port), path, Number(requests), Number(atOnce))
