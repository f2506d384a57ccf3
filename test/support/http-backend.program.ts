// A web server of its own process, for tests that stop it under load. It answers each request with
// its name after a while, and ends as a good server does: on SIGTERM the answers under way are
// finished, each kept connection is told to close with its next answer, then it exits.
//
//   node http-backend.ts NAME DELAY_MS      prints its port once it listens

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [name = '', delayMs = '0'] = process.argv.slice(2)
let isEnding = false

const server = createServer({ keepAliveTimeout: 0 }, (_request, response) => {
  setTimeout(() => {
    response.setHeader('connection', isEnding ? 'close' : 'keep-alive')
    response.end(name)
  }, Number(delayMs))
})

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})

process.on('SIGTERM', () => {
  isEnding = true
  const look = setInterval(() => {
    server.getConnections((_error, count) => {
      if (count > 0) return
      clearInterval(look)
      server.close(() => process.exit(0))
    })
  }, 10)
})
