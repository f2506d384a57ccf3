// Visitors of a page while it is updated: some clients that ask again and again, each time over a
// new connection, and count what they get. `node visitors.ts URL`; SIGTERM ends the visit and
// prints the count as a line of JSON.

import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What all visitors together have seen. */
export interface Visits {
  readonly requests: number
  /** Requests without a whole page as their answer, and the first of the reasons. */
  readonly lost: number
  readonly reasons: readonly string[]
  /** Version that a page named -> pages. */
  readonly versions: Readonly<Record<string, number>>
}

const visitors = 4
const pauseMs = 10
const timeoutMs = 5_000
const reasonsMax = 5

function fetchPage(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent: false, timeout: timeoutMs }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(chunks).toString())
        else reject(new Error(`status ${answer.statusCode}`))
      })
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)))
    asked.on('error', reject)
  })
}

async function visit(url: string): Promise<void> {
  let [requests, lost, isOver] = [0, 0, false]
  const reasons: string[] = []
  const versions: Record<string, number> = {}
  process.once('SIGTERM', () => {
    isOver = true
  })
  const visitor = async (): Promise<void> => {
    while (!isOver) {
      requests += 1
      try {
        const page = await fetchPage(url)
        const version = /version (\S+)/.exec(page)?.[1]
        if (version === undefined) throw new Error(`not the page: ${page}`)
        versions[version] = (versions[version] ?? 0) + 1
      } catch (error) {
        lost += 1
        if (reasons.length < reasonsMax) reasons.push(String(error))
      }
      await sleep(pauseMs)
    }
  }
  await Promise.all(Array.from({ length: visitors }, visitor))
  const visits: Visits = { requests, lost, reasons, versions }
  console.log(JSON.stringify(visits))
}

if (import.meta.main) await visit(process.argv[2] ?? '')
