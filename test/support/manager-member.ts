// A manager without an agent around it: the manager machine and its host, its log on a real disk,
// and its letters over real TCP. What tests and benchmarks of several managers are made of.

import { systemClock } from '../../agent/base/clock.ts'
import { ManagerHost } from '../../agent/host/manager-host.ts'
import { createRaftTransport, type RaftTransport } from '../../agent/host/raft-transport.ts'
import { asDataKey } from '../../agent/storage/data-key.ts'
import { type Disk, realDisk } from '../../agent/storage/disk.ts'
import { openRaftStorage, type RaftStorage } from '../../agent/storage/raft-storage.ts'
import type { ClusterId, NodeId } from '../../core/base/id.ts'
import { seededRandom } from '../../core/base/random.ts'
import type { Command } from '../../core/command/command.ts'
import { ManagerMachine } from '../../core/machine/manager.ts'
import { defaultClusterSpec } from '../../core/object/defaults.ts'
import type { ClusterObject } from '../../core/object/object.ts'
import { bootstrapState, joinState } from '../../core/raft/birth.ts'
import { type RaftLimits, raftLimits } from '../../core/raft/limits.ts'
import { createRaft } from '../../core/raft/raft.ts'
import type { Epoch, Raft, RoleState } from '../../core/raft/types.ts'
import type { RequestRow } from '../../net/cluster/connection.ts'
import { createPeers, type Peers } from '../../net/cluster/peers.ts'
import { type Address, formatAddress } from '../../net/cluster/tcp.ts'
import { type ClusterKeys, nodeIdOf } from './cluster-keys.ts'
import { waitFor } from './wait.ts'

export interface MemberOptions {
  readonly cluster: ClusterKeys
  /** Names the node, see `nodeIdOf`. */
  readonly number: number
  /** Another at each start. */
  readonly start?: number
  /** The node's id, or `id.generation` after it was removed. */
  readonly memberId?: string
  readonly folder: string
  readonly listen?: Address
  readonly limits?: Partial<RaftLimits>
  readonly electionTicks?: number
  readonly tickMs?: number
  readonly disk?: Disk
  readonly onSpace?: (isFull: boolean) => void
  /** Requests beside raft's. */
  readonly requests?: Readonly<Record<string, (member: Member, body: unknown) => Promise<unknown>>>
  /** A line of the log that is worth reading. */
  readonly onLine?: (line: string) => void
}

export interface Member {
  readonly id: NodeId
  readonly memberId: string
  readonly address: Address
  readonly peers: Peers
  readonly host: ManagerHost
  readonly machine: ManagerMachine
  readonly raft: Raft
  readonly storage: RaftStorage
  readonly transport: RaftTransport
  /** Every role that it had, oldest first. */
  readonly roles: readonly RoleState[]
  /** Names of the notes, oldest first. */
  readonly events: readonly string[]
  /** Why it had to end by itself. */
  readonly failure: () => unknown
  readonly stop: () => Promise<void>
}

/** The line of descent of all clusters here. */
export const epoch: Epoch = { counter: 1, id: 'e', parent: undefined }
export const electionTicks = 5
const dataKeys = [asDataKey(new Uint8Array(32).fill(7))] as const
/** How often a full disk is tried again. */
const spaceRetryMs = 250

/** Starts node 1 as the founder of a cluster, any other one as one that waits to be added. */
export async function startMember(options: MemberOptions): Promise<Member> {
  const { cluster, number, folder } = options
  const clock = systemClock
  const id = nodeIdOf(number)
  const memberId = options.memberId ?? id
  const identity = cluster.identity(number, { start: options.start ?? 1 })
  const roles: RoleState[] = []
  const events: string[] = []
  const log = (level: string, event: string, fields: object = {}): void => {
    events.push(event)
    if (events.length > 10_000) events.shift()
    if (level !== 'debug') options.onLine?.(`${level} ${event} ${JSON.stringify(fields)}`)
  }
  let failure: unknown
  let raft: Raft | undefined
  let host: ManagerHost | undefined
  let isStopped = false
  const fail = (error: unknown): void => {
    failure ??= error
    options.onLine?.(`error member.failed ${String(error)}`)
    void stop()
  }
  const transport = createRaftTransport({
    memberId: () => memberId,
    membership: () => raft?.membership,
    peers: () => peers,
    readPiece: (snapshotId, range) => storage.readPiece(snapshotId, range),
    receive: (from, message) =>
      host?.dispatch({ type: 'received', nowMs: clock.nowMs(), from, message }),
    log,
  })
  const rows: Record<string, RequestRow> = {}
  for (const [name, answer] of Object.entries(options.requests ?? {})) {
    rows[name] = { from: ['manager'], handle: async (_peer, body) => answer(member, body) }
  }
  const peers = createPeers({
    identity: () => identity,
    trust: cluster.trust,
    admitGuest: () => {
      throw new Error('nobody joins here')
    },
    handlers: {
      messages: transport.handlers.messages,
      requests: { ...transport.handlers.requests, ...rows },
      streams: {},
      guests: {},
    },
    agentVersion: 'test',
    clock,
    log,
    onFault: fail,
  })
  const address = await peers.listen(options.listen ?? { host: '127.0.0.1', port: 0 })
  let cancelRetry: (() => void) | undefined
  const retrySpace = (): void => {
    cancelRetry = clock.after(spaceRetryMs, () => {
      if (!isStopped) void storage.retrySpace().then((hasRoom) => hasRoom || retrySpace())
    })
  }
  const storage: RaftStorage = await openRaftStorage({
    disk: options.disk ?? realDisk,
    folder,
    keys: dataKeys,
    log,
    onFatal: fail,
    onSpace: (isFull) => {
      cancelRetry?.()
      if (isFull) retrySpace()
      options.onSpace?.(isFull)
      host?.dispatch({ type: isFull ? 'diskFull' : 'diskFreed', nowMs: clock.nowMs() })
    },
    snapshotsInUse: () => raft?.snapshotsInUse ?? [],
  })
  if (storage.restored === undefined) {
    const founder = { id: memberId, address: formatAddress(address), isVoter: true }
    const membership = { members: [founder], removed: [] }
    await storage.begin(number === 1 ? bootstrapState({ membership, epoch }) : joinState(epoch))
  }
  const { restored } = storage
  if (restored === undefined) throw new Error('the storage has begun')
  const random = seededRandom(clock.randomBytes(16))
  const limits = { ...raftLimits, ...options.limits }
  raft = createRaft(
    {
      ...{ id: memberId, heartbeatTicks: 1, limits, random },
      electionTicks: options.electionTicks ?? electionTicks,
    },
    restored,
  )
  const objects: ClusterObject[] = []
  if (restored.snapshot !== undefined) {
    for await (const value of storage.readSnapshot(restored.snapshot.id)) {
      objects.push(value as ClusterObject)
    }
  }
  const index = restored.snapshot?.index
  const machine = new ManagerMachine({
    raft,
    random,
    ...(index === undefined ? {} : { snapshot: { index, objects } }),
  })
  host = new ManagerHost({
    ...{ machine, storage, clock, send: transport.send, assign: () => {}, onLeader: () => {} },
    endSession: () => {},
    onFate: () => {},
    log: (level, event, fields) => {
      if (event === 'raft.role') {
        roles.push({ role: raft.role, term: raft.term, leaderId: raft.leaderId })
      }
      log(level, event, fields)
    },
    onFatal: fail,
    ...(options.tickMs === undefined ? {} : { tickMs: options.tickMs }),
  })
  const stop = async (): Promise<void> => {
    if (isStopped) return
    isStopped = true
    cancelRetry?.()
    transport.close()
    host.close()
    await peers.close()
    await storage.close()
  }
  const member: Member = {
    ...{ id, memberId, address, peers, host, machine, raft, storage, transport, roles, events },
    failure: () => failure,
    stop,
  }
  host.start()
  return member
}

/** The command that makes the founder's cluster. */
export function initCommand(
  address: Address,
  raft: Partial<typeof defaultClusterSpec.raft> = {},
): Command {
  return {
    type: 'cluster.init',
    clusterId: 'c'.padStart(25, '0') as ClusterId,
    spec: { ...defaultClusterSpec, raft: { ...defaultClusterSpec.raft, ...raft } },
    key: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32) },
    joinSecrets: { worker: 'w', manager: 'm' },
    node: {
      id: nodeIdOf(1),
      keys: { worker: new Uint8Array(32), manager: new Uint8Array(32) },
      address: address.host,
      managerAddress: formatAddress(address),
      availability: 'active',
    },
    defaultAddressPool: ['10.0.0.0/8'],
    subnetSize: 24,
    dataPathPort: 2377,
  }
}

/** The command that makes a node one of the managers. */
export function joinCommand(number: number, address: Address): Command {
  return {
    type: 'node.join',
    id: nodeIdOf(number),
    role: 'manager',
    keys: { worker: new Uint8Array(32), manager: new Uint8Array(32) },
    address: address.host,
    managerAddress: formatAddress(address),
    availability: 'active',
  }
}

/** A config of that name. */
export function configCommand(name: string, data: Uint8Array = new Uint8Array(64)): Command {
  return { type: 'config.create', spec: { name, labels: {}, data } }
}

/** The one of them that leads and takes commands, once there is one. */
export function leaderOf(members: readonly Member[], timeoutMs = 15_000): Promise<Member> {
  return waitFor({ what: 'leader', timeoutMs, everyMs: 20 }, () =>
    members.find((member) => member.machine.isReady),
  )
}
