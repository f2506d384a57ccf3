// Three managers beside three etcds: writes, one after the other in each of several proposers, and
// how long nobody can write after the leader was killed. Both are real processes on loopback with
// their logs on the same disk; both are asked over one connection to the leader, in their own
// protocol, by this process. Rounds alternate, and the median counts.
//
// What is written: here a config of 256 bytes, through the whole manager (checks, store, watchers),
// sealed on the disk and on the wire; there a put of a new key with 256 bytes, in clear on both.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { installMissing } from '../../scripts/packages.ts'
import { configCommand } from '../support/manager-member.ts'
import { type MemberProcessOptions, startMembers } from '../support/member-client.ts'
import { waitFor } from '../support/wait.ts'
import { type EtcdTiming, startEtcd } from './etcd.ts'
import { type Figure, median, printFigures } from './figures.ts'
import { cpuMs } from './process-usage.ts'

interface Contender {
  /** Writes to the leader. */
  readonly write: () => Promise<void>
  /** After a write that was refused: a busy machine may cost a leader its place. */
  readonly findLeader: () => Promise<void>
  readonly pids: () => readonly number[]
  /** Kills the leader; returns a way to write to each that is left, and one to bring it back. */
  readonly killLeader: () => Promise<{
    readonly writes: readonly (() => Promise<void>)[]
    readonly mend: () => Promise<void>
  }>
  readonly close: () => Promise<void>
}

interface Load {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuUs: number
}

const rounds = 3
const loadMs = 3_000
const warmMs = 500
const proposerCounts = [1, 32, 256] as const
const kills = 5
const value = new Uint8Array(256).fill(120)
const timeoutMs = 30_000

async function openOurs(
  root: string,
  timing: Pick<MemberProcessOptions, 'tickMs'> = {},
): Promise<Contender> {
  const client = await startMembers(root, timing)
  let leader = await client.leader()
  let count = 0
  const writeTo = async (member: typeof leader): Promise<void> => {
    await client.submit(member, configCommand(`k${count++}`, value))
  }
  return {
    write: () => writeTo(leader),
    findLeader: async () => {
      leader = await client.leader()
    },
    pids: () => client.members.map(({ pid }) => pid),
    killLeader: async () => {
      leader = await client.leader()
      const gone = leader
      await gone.kill()
      const left = client.members.filter((member) => member !== gone)
      return {
        writes: left.map((member) => () => writeTo(member)),
        mend: async () => {
          const back = await client.start(gone.number)
          await waitFor({ what: 'the member that is back', timeoutMs }, async () => {
            const all = await Promise.all(client.members.map((each) => client.status(each)))
            const commits = all.map(({ commit }) => commit)
            return Math.max(...commits) - ((await client.status(back)).commit ?? 0) < 5
          })
          leader = await client.leader()
        },
      }
    },
    close: client.close,
  }
}

async function openEtcd(root: string, timing: EtcdTiming): Promise<Contender> {
  const cluster = await startEtcd(root, timing)
  let leader = await cluster.leader()
  let count = 0
  return {
    write: () => leader.put(`k${count++}`, value),
    findLeader: async () => {
      leader = await cluster.leader()
    },
    pids: () => cluster.nodes().map(({ pid }) => pid),
    killLeader: async () => {
      leader = await cluster.leader()
      const gone = leader
      await gone.kill()
      const left = cluster.nodes().filter((node) => node !== gone)
      return {
        writes: left.map((node) => () => node.put(`k${count++}`, value)),
        mend: async () => {
          await cluster.restart(gone)
          leader = await cluster.leader()
        },
      }
    },
    close: cluster.close,
  }
}

/** So many proposers, each with one write under way. */
async function load(contender: Contender, proposers: number, ms: number): Promise<Load> {
  const times: number[] = []
  const startedAtMs = performance.now()
  const endsAtMs = startedAtMs + ms
  const cpu = (): number => contender.pids().reduce((sum, pid) => sum + cpuMs(pid), 0)
  const cpuBefore = cpu()
  const propose = async (): Promise<void> => {
    for (;;) {
      const atMs = performance.now()
      if (atMs >= endsAtMs) return
      // The time of a write that is refused and done again counts as one.
      await contender.write().catch(async () => {
        await contender.findLeader()
        await contender.write()
      })
      times.push(performance.now() - atMs)
    }
  }
  await Promise.all(Array.from({ length: proposers }, propose))
  const tookMs = performance.now() - startedAtMs
  const cpuUs = ((cpu() - cpuBefore) * 1_000) / times.length
  const sorted = times.sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN
  return { perSecond: (times.length / tookMs) * 1_000, p50Ms: at(0.5), p99Ms: at(0.99), cpuUs }
}

/** From the kill until a write succeeds; a new try every 10 ms at each that is left. */
async function failover(contender: Contender): Promise<number> {
  const { writes, mend } = await contender.killLeader()
  const startedAtMs = performance.now()
  let doneAtMs: number | undefined
  const tries: Promise<void>[] = []
  while (doneAtMs === undefined) {
    if (performance.now() - startedAtMs > timeoutMs) throw new Error('no write after the kill')
    for (const write of writes) {
      const done = write().then(
        () => {
          doneAtMs ??= performance.now()
        },
        () => undefined,
      )
      tries.push(done)
    }
    await sleep(10)
  }
  await Promise.all(tries)
  await mend()
  return doneAtMs - startedAtMs
}

async function writesOf(ours: Contender, etcd: Contender): Promise<Figure[]> {
  for (const each of [ours, etcd]) await load(each, 32, warmMs)
  const figures: Figure[] = []
  for (const proposers of proposerCounts) {
    const all: { readonly ours: Load; readonly etcd: Load }[] = []
    for (let round = 0; round < rounds; round++) {
      const ofOurs = await load(ours, proposers, loadMs)
      all.push({ ours: ofOurs, etcd: await load(etcd, proposers, loadMs) })
    }
    const figure = (what: string, unit: Figure['unit'], pick: (load: Load) => number): Figure => ({
      what: `${proposers} proposer${proposers === 1 ? '' : 's'}: ${what}`,
      value: median(all.map((pair) => pick(pair.ours))),
      unit,
      beside: { name: 'etcd', value: median(all.map((pair) => pick(pair.etcd))) },
    })
    figures.push(figure('writes', '/s', ({ perSecond }) => perSecond))
    figures.push(figure('p50', 'ms', ({ p50Ms }) => p50Ms))
    figures.push(figure('p99', 'ms', ({ p99Ms }) => p99Ms))
    figures.push(figure('CPU of a write, all three', 'us', ({ cpuUs }) => cpuUs))
  }
  return figures
}

async function failoversOf(what: string, ours: Contender, etcd: Contender): Promise<Figure[]> {
  const pairs: { readonly ours: number; readonly etcd: number }[] = []
  for (let kill = 0; kill < kills; kill++) {
    const ofOurs = await failover(ours)
    pairs.push({ ours: ofOurs, etcd: await failover(etcd) })
  }
  const figure = (name: string, pick: (values: readonly number[]) => number): Figure => ({
    what: `leader killed, ${what}: ${name}`,
    value: pick(pairs.map((pair) => pair.ours)),
    unit: 'ms',
    beside: { name: 'etcd', value: pick(pairs.map((pair) => pair.etcd)) },
  })
  return [figure(`median of ${kills}`, median), figure('worst', (all) => Math.max(...all))]
}

/** Opens both, runs, and leaves nothing behind. */
async function withBoth(
  timing: { readonly tickMs: number; readonly etcd: EtcdTiming },
  run: (ours: Contender, etcd: Contender) => Promise<Figure[]>,
): Promise<Figure[]> {
  const root = mkdtempSync(`${tmpdir()}/skep-raft-bench-`)
  try {
    const ours = await openOurs(`${root}/ours`, { tickMs: timing.tickMs })
    try {
      const etcd = await openEtcd(`${root}/etcd`, timing.etcd)
      try {
        return await run(ours, etcd)
      } finally {
        await etcd.close()
      }
    } finally {
      await ours.close()
    }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

const byDefault = { tickMs: 100, etcd: { heartbeatMs: 100, electionMs: 1_000 } }
const fast = { tickMs: 20, etcd: { heartbeatMs: 20, electionMs: 100 } }

await installMissing(console.log, [
  { program: 'etcd', debianPackage: 'etcd-server' },
  { program: 'etcdctl', debianPackage: 'etcd-client' },
])
printFigures('Three managers beside three etcds', [
  ...(await withBoth(byDefault, writesOf)),
  ...(await withBoth(byDefault, (ours, etcd) => failoversOf('default timing', ours, etcd))),
  ...(await withBoth(fast, (ours, etcd) => failoversOf('fast timing', ours, etcd))),
])
