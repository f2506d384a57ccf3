// A client of a published port, started on a host of the lab: asks for a page at a fixed rate until
// SIGTERM, but for 2 s and 200 requests at least, then prints what it has seen as one line of JSON.
//
//   node traffic.program.ts URL RATE_PER_SECOND fresh|kept
//
// 'fresh' opens a connection for each request, 'kept' keeps 8 of them and uses them in turn. A
// request is lost when it gets no whole answer with status 200; nothing is asked twice.

import { Agent, get } from 'node:http'

const runMsMin = 2_000
const sentMin = 200
/** A machine that cannot keep up with the rate is asked less, not buried: what waits is answered. */
const pendingMax = 64
/** Far beyond what a busy machine needs: only an answer that never comes is lost by it. */
const answerMsMax = 20_000
const [url = '', rate = '0', kind = 'fresh'] = process.argv.slice(2)
const isKept = kind === 'kept'
const agent = new Agent(isKept ? { keepAlive: true, maxSockets: 8 } : { keepAlive: false })
const lost: { readonly atMs: number; readonly why: string }[] = []
const versions: Record<string, number> = {}
const hosts = new Set<string>()
const startedMs = performance.now()
let [sent, answered, slowestMs] = [0, 0, 0]

function ask(): void {
  const askedMs = performance.now()
  sent += 1
  let isOver = false
  const lose = (why: string): void => {
    if (isOver) return
    isOver = true
    lost.push({ atMs: Math.round(askedMs - startedMs), why })
  }
  const request = get(url, { agent, timeout: answerMsMax }, (answer) => {
    const chunks: Buffer[] = []
    answer.on('data', (chunk: Buffer) => chunks.push(chunk))
    answer.on('error', (error) => lose(`body: ${error.message}`))
    answer.on('end', () => {
      if (answer.statusCode !== 200) return lose(`status ${answer.statusCode}`)
      const page = /version (\S+) on (\w+)/.exec(Buffer.concat(chunks).toString())
      if (page === null) return lose('not the page')
      isOver = true
      answered += 1
      if (answered === 1) process.stdout.write('started\n')
      slowestMs = Math.max(slowestMs, performance.now() - askedMs)
      versions[page[1] ?? ''] = (versions[page[1] ?? ''] ?? 0) + 1
      hosts.add(page[2] ?? '')
    })
  })
  request.on('timeout', () => request.destroy(new Error(`no answer in ${answerMsMax} ms`)))
  request.on('error', (error) => lose(error.message))
}

// What a busy machine made late is caught up, so that the rate holds on the whole.
const ticker = setInterval(() => {
  const due = Math.floor(((performance.now() - startedMs) / 1000) * Number(rate))
  while (sent < due && sent - answered - lost.length < pendingMax) ask()
}, 5)

process.once('SIGTERM', async () => {
  const leftMs = startedMs + runMsMin - performance.now()
  await new Promise((resolve) => setTimeout(resolve, leftMs))
  while (sent < sentMin) await new Promise((resolve) => setTimeout(resolve, 10))
  clearInterval(ticker)
  const seconds = (performance.now() - startedMs) / 1000
  const deadline = performance.now() + answerMsMax + 1_000
  while (answered + lost.length < sent && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const report = { sent, answered, lost, versions, hosts: [...hosts], seconds, slowestMs }
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0))
})
