// Managers as processes of their own, without agents around them, and one who commands them over
// the channel: for tests that kill, stall and fill, and for benchmarks.

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { systemClock } from '../../agent/base/clock.ts'
import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { Command, CommandAnswer } from '../../core/command/command.ts'
import type { RoleState } from '../../core/raft/types.ts'
import { createPeers, type Peers } from '../../net/cluster/peers.ts'
import type { Address } from '../../net/cluster/tcp.ts'
import { type ClusterKeys, makeClusterKeys, nodeIdOf } from './cluster-keys.ts'
import { initCommand, joinCommand } from './manager-member.ts'
import { waitFor } from './wait.ts'

/** What a process is started with, as JSON in its first argument. */
export interface MemberProcessOptions {
  readonly number: number
  readonly start: number
  readonly folder: string
  readonly port: number
  readonly tickMs?: number
  readonly electionTicks?: number
}

export interface MemberStatus {
  readonly role: string
  readonly term: number
  readonly leaderId?: string
  readonly isReady: boolean
  readonly lastIndex: number
  readonly commit: number
  readonly voters: readonly string[]
  readonly configs: number
  readonly roles: readonly RoleState[]
  readonly events: readonly string[]
  readonly isDiskFull: boolean
}

export interface MemberProcess {
  readonly number: number
  readonly id: NodeId
  readonly address: Address
  readonly pid: number
  /** The last lines of its log. */
  readonly lines: readonly string[]
  /** SIGKILL; resolves when it is gone. */
  readonly kill: () => Promise<void>
  readonly isGone: () => boolean
}

export interface MemberClient {
  readonly members: readonly MemberProcess[]
  /** Starts a member (again), at the port that it had. */
  readonly start: (number: number) => Promise<MemberProcess>
  readonly request: (member: MemberProcess, kind: string, body: unknown) => Promise<unknown>
  readonly submit: (member: MemberProcess, command: Command) => Promise<CommandAnswer>
  readonly status: (member: MemberProcess) => Promise<MemberStatus>
  /** The one that leads and takes commands, once there is one. */
  readonly leader: () => Promise<MemberProcess>
  readonly peers: Peers
  readonly close: () => Promise<void>
}

const program = join(import.meta.dirname, 'manager-member.program.ts')
const timeoutMs = 20_000

/** Starts three members and lets them form a cluster. Each has a folder under `root`. */
export async function startMembers(
  root: string,
  more: Pick<MemberProcessOptions, 'tickMs' | 'electionTicks'> = {},
): Promise<MemberClient> {
  const cluster = makeClusterKeys()
  const members: MemberProcess[] = []
  const starts = new Map<number, number>()
  const peers = openClient(cluster)
  const request: MemberClient['request'] = (member, kind, body) =>
    peers.request(member.id, kind, body, { timeoutMs })
  const client: MemberClient = {
    members,
    peers,
    start: async (number) => {
      const start = (starts.get(number) ?? 0) + 1
      starts.set(number, start)
      const port = members[number - 1]?.address.port ?? 0
      const folder = `${root}/${number}/raft`
      const member = await startProcess(cluster, { number, start, folder, port, ...more })
      members[number - 1] = member
      peers.setAddresses(member.id, [member.address])
      return member
    },
    request,
    submit: async (member, command) =>
      (await request(member, 'test.submit', command)) as CommandAnswer,
    status: async (member) => (await request(member, 'test.status', 0)) as MemberStatus,
    leader: () =>
      waitFor({ what: 'leader', timeoutMs, everyMs: 20 }, async () => {
        for (const member of members) {
          if (member.isGone()) continue
          const status = await client.status(member).catch(() => undefined)
          if (status?.isReady === true) return member
        }
        return undefined
      }),
    close: async () => {
      await Promise.all(members.map((member) => member.kill()))
      await peers.close()
    },
  }
  try {
    for (const number of [1, 2, 3]) await client.start(number)
    const [one, two, three] = members as [MemberProcess, MemberProcess, MemberProcess]
    await client.leader()
    await client.submit(one, initCommand(one.address))
    await client.submit(one, joinCommand(2, two.address))
    await client.submit(one, joinCommand(3, three.address))
    await waitFor({ what: 'three voters', timeoutMs }, async () => {
      const all = await Promise.all(members.map((member) => client.status(member)))
      return all.every(({ voters }) => voters.length === 3)
    })
    return client
  } catch (error) {
    await client.close()
    throw error
  }
}

/** Node 9 is no member of raft, but trusted as a manager. */
function openClient(cluster: ClusterKeys): Peers {
  const identity = cluster.identity(9)
  return createPeers({
    identity: () => identity,
    trust: cluster.trust,
    admitGuest: () => {
      throw new CodedError('permission-denied', 'nobody joins here')
    },
    handlers: { messages: {}, requests: {}, streams: {}, guests: {} },
    agentVersion: 'test',
    clock: systemClock,
    log: () => {},
    onFault: (error) => {
      throw error
    },
  })
}

async function startProcess(
  cluster: ClusterKeys,
  options: MemberProcessOptions,
): Promise<MemberProcess> {
  const { publicKey, privateKey } = cluster.key
  const key = [publicKey, privateKey].map((bytes) => Buffer.from(bytes).toString('base64'))
  const args = [
    '--disable-warning=ExperimentalWarning',
    program,
    JSON.stringify({ ...options, key }),
  ]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: string[] = []
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => {
      reject(new Error(`member ${options.number} ended with ${code}: ${lines.join('\n')}`))
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line)
      if (lines.length > 200) lines.shift()
      const ready = /^ready (\d+)$/.exec(line)
      if (ready !== null) resolve(Number(ready[1]))
    })
  })
  const ended = untilGone(child)
  return {
    number: options.number,
    id: nodeIdOf(options.number),
    address: { host: '127.0.0.1', port },
    pid: child.pid ?? 0,
    lines,
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
    isGone: () => child.exitCode !== null || child.signalCode !== null,
  }
}

function untilGone(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()))
}
