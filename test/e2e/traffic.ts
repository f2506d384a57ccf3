// Traffic through a published port while something else happens, and what became of it.

import { join } from 'node:path'
import type { Host } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'

export interface Traffic {
  readonly sent: number
  readonly answered: number
  readonly lost: readonly { readonly atMs: number; readonly why: string }[]
  /** Version of the page -> how often it was seen. */
  readonly versions: Readonly<Record<string, number>>
  /** Host names of the containers that answered. */
  readonly hosts: readonly string[]
  readonly seconds: number
  readonly slowestMs: number
}

export interface TrafficPlan {
  readonly url: string
  readonly ratePerSecond: number
  /** A connection for each request, or connections that are kept. */
  readonly kind: 'fresh' | 'kept'
}

let started = 0

/** Starts a client on the host and waits for its first page; `stop` returns what it has seen. */
export async function startTraffic(
  host: Host,
  plan: TrafficPlan,
): Promise<{ readonly stop: () => Promise<Traffic> }> {
  started += 1
  const program = join(import.meta.dirname, 'traffic.program.ts')
  const words = [plan.url, String(plan.ratePerSecond), plan.kind]
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, ...words]
  const client = host.start(`traffic-${started}`, command)
  const describe = (): string => client.log()
  await waitFor({ what: `page at ${plan.url}`, timeoutMs: 30_000, describe }, () =>
    client.log().includes('started'),
  )
  return {
    stop: async () => {
      await client.stop()
      const line = client.log().trim().split('\n').at(-1) ?? ''
      return JSON.parse(line) as Traffic
    },
  }
}
