// Manager half: what makes a node a manager. Its keys, its log on the disk, the manager machine and
// the host that serves it. A node opens it when it founds a cluster, when it starts and its keys
// are open, when it is unlocked, and when it is promoted.

import { present } from '../core/base/assert.ts'
import { CodedError } from '../core/base/error.ts'
import type { NodeId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import { seededRandom } from '../core/base/random.ts'
import { nsPerMs } from '../core/base/time.ts'
import { ManagerMachine } from '../core/machine/manager.ts'
import type { Cluster } from '../core/object/cluster.ts'
import { nodeOfMember } from '../core/object/node.ts'
import type { ClusterObject } from '../core/object/object.ts'
import { recoverState } from '../core/raft/birth.ts'
import { raftLimits } from '../core/raft/limits.ts'
import { createRaft } from '../core/raft/raft.ts'
import type { Epoch, Fate, Raft, Restored } from '../core/raft/types.ts'
import type { Applied } from '../core/store/change.ts'
import type { PeerHandlers } from '../net/cluster/connection.ts'
import type { Peers } from '../net/cluster/peers.ts'
import { type CertificateRole, encodeCertificate } from '../net/secure/certificate.ts'
import { isEqual } from '../net/secure/crypto.ts'
import type { SessionOpen } from '../net/wire/session-messages.ts'
import { bootId } from './base/boot-id.ts'
import type { Clock } from './base/clock.ts'
import { createLeaderLine, type LeaderLine } from './host/leader-line.ts'
import { ManagerHost } from './host/manager-host.ts'
import { createRaftTransport } from './host/raft-transport.ts'
import {
  createSessionRouter,
  type Leader,
  type LocalWorker,
  type SessionRouter,
} from './host/session-router.ts'
import type { Trust } from './host/trust.ts'
import type { DataKeys } from './storage/data-key.ts'
import { realDisk } from './storage/disk.ts'
import { openRaftStorage, type RaftStorage } from './storage/raft-storage.ts'
import { recordStart } from './storage/starts.ts'

export interface ManagerHalfOptions {
  /** The state folder. */
  readonly folder: string
  readonly nodeId: NodeId
  readonly memberId: string
  readonly dataKeys: DataKeys
  /** What a member without a log begins with. */
  readonly founding: Restored | undefined
  /** This member goes on alone, in a new epoch. */
  readonly recovery: Recovery | undefined
  readonly peers: Peers
  readonly trust: Trust
  /** The worker of this process. */
  readonly worker: LocalWorker
  readonly clock: Clock
  readonly log: Log
  readonly onApplied: (applied: readonly Applied[]) => void
  readonly onFate: (fate: Fate) => void
  readonly onFatal: (error: unknown) => void
}

export interface Recovery {
  readonly epochId: string
  /** host:port of this manager. */
  readonly address: string
  readonly isForced: boolean
}

export interface ManagerHalf {
  readonly host: ManagerHost
  readonly machine: ManagerMachine
  readonly storage: RaftStorage
  readonly router: SessionRouter
  readonly line: LeaderLine
  readonly leader: () => Leader
  /** What other nodes may ask of a manager. */
  readonly handlers: Omit<PeerHandlers, 'guests'>
  /** Lets another manager lead, if this one does and there is one; waits for it a second at most. */
  readonly handOver: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Ticks of `tickMs`: a heartbeat every 100 ms, an election after 500 to 1000 ms. */
const heartbeatTicks = 1
const electionTicks = 5
/** For a node that has joined through another manager to be known here too. */
const memberMsMax = 3_000
const handOverMsMax = 1_000
const pollMs = 20
/** How often a full disk is tried again. */
const spaceRetryMs = 1_000

/**
 * Opens the log and starts the machine. Throws damaged-data if the log is damaged, or is older than
 * the one that this node had: such a member may have promised what it does not remember.
 */
export async function openManager(options: ManagerHalfOptions): Promise<ManagerHalf> {
  const { folder, memberId, clock, log } = options
  const room = watchRoom(clock)
  let raft: Raft | undefined
  const storage = await openRaftStorage({
    disk: realDisk,
    folder: `${folder}/raft`,
    keys: options.dataKeys,
    log,
    onFatal: options.onFatal,
    onSpace: room.changed,
    snapshotsInUse: () => raft?.snapshotsInUse ?? [],
  })
  try {
    const restored = await restore(storage, options)
    const random = seededRandom(clock.randomBytes(16))
    raft = createRaft(
      { id: memberId, heartbeatTicks, electionTicks, limits: raftLimits, random },
      restored,
    )
    const snapshot = await readObjects(storage)
    const machine = new ManagerMachine({
      raft,
      random,
      isRecoveryForced: options.recovery?.isForced ?? false,
      ...(snapshot === undefined ? {} : { snapshot }),
    })
    const leader = (): Leader => leaderOf(machine)
    const transport = createRaftTransport({
      memberId: () => memberId,
      membership: () => machine.raft.membership,
      peers: () => options.peers,
      readPiece: (snapshotId, range) => storage.readPiece(snapshotId, range),
      receive: (from, message) =>
        host.dispatch({ type: 'received', nowMs: clock.nowMs(), from, message }),
      log,
    })
    const host: ManagerHost = new ManagerHost({
      ...{ machine, storage, clock, log, onFatal: options.onFatal },
      send: (outgoing) => transport.send(outgoing),
      assign: (nodeId, assignments) => router.assign(nodeId, assignments),
      endSession: (nodeId) => router.endSession(nodeId),
      onLeader: () => {
        line.leaderChanged()
        router.leaderChanged()
      },
      onFate: options.onFate,
    })
    host.watch(options.onApplied)
    const router = openRouter(options, { machine, host, leader })
    // A node counts its lease by the period that it was told when its session opened.
    host.watch((applied) => {
      if (changesHeartbeat(applied)) router.leaderChanged()
    })
    const line: LeaderLine = createLeaderLine({
      ...{ host, leader, clock, peers: options.peers },
      reachable: () => {
        const { members } = machine.raft.membership
        return members.map(({ id }) => id).filter((id) => machine.isReachable(id))
      },
    })
    room.follow(storage, (isFull) => {
      if (isFull)
        log('error', 'disk.full', {
          folder,
          remedy: 'make room; the agent tries again every second',
        })
      else log('info', 'disk.has-room', { folder })
      host.dispatch({ type: isFull ? 'diskFull' : 'diskFreed', nowMs: clock.nowMs() })
    })
    return {
      ...{ host, machine, storage, router, line, leader },
      handlers: {
        requests: {
          ...router.handlers.requests,
          ...line.handlers.requests,
          ...transport.handlers.requests,
        },
        messages: { ...router.handlers.messages, ...transport.handlers.messages },
        streams: {},
      },
      handOver: () => handOver(host, { machine, clock }),
      close: async () => {
        room.stop()
        transport.close()
        host.close()
        await storage.close()
      },
    }
  } catch (error) {
    room.stop()
    await storage.close()
    throw error
  }
}

function changesHeartbeat(applied: readonly Applied[]): boolean {
  const period = (object: ClusterObject | undefined): number | undefined =>
    object?.kind === 'cluster' ? object.spec.dispatcher.heartbeatPeriodNs : undefined
  return applied.some(
    ({ before, after }) => before !== undefined && period(before) !== period(after),
  )
}

function leaderOf(machine: ManagerMachine): Leader {
  if (machine.isReady) return { type: 'self' }
  const { leaderId, id } = machine.raft
  if (leaderId === undefined || leaderId === id) return { type: 'none' }
  return { type: 'other', nodeId: nodeOfMember(leaderId) }
}

function openRouter(
  options: ManagerHalfOptions,
  parts: {
    readonly machine: ManagerMachine
    readonly host: ManagerHost
    readonly leader: () => Leader
  },
): SessionRouter {
  const { nodeId, peers, trust, clock, log } = options
  const { machine, host, leader } = parts
  const clusterOf = (): Cluster => {
    const cluster = machine.view.cluster()
    if (cluster !== undefined) return cluster
    throw new CodedError('unavailable', 'this manager has not read the cluster state yet')
  }
  /** A new certificate for a node whose present one is signed with an old key. */
  const renewed = (
    id: NodeId,
    trustedKey: Uint8Array | undefined,
  ): { readonly certificate?: Uint8Array } => {
    const key = trust.member(id)?.keys.worker
    if (trustedKey === undefined || key === undefined) return {}
    const cluster = clusterOf()
    if (isEqual(cluster.key.publicKey, trustedKey)) return {}
    const nowMs = clock.nowMs()
    return { certificate: certify(cluster, machine, { id, role: 'worker', key, nowMs }) }
  }
  return createSessionRouter({
    ...{ ownId: nodeId, peers, leader, log },
    isKnown: (id) => machine.view.get('node', id) !== undefined,
    dispatch: (event) => host.dispatch(event),
    clock,
    isQuorate: () => machine.isQuorate,
    heartbeatMs: () => clusterOf().spec.dispatcher.heartbeatPeriodNs / nsPerMs,
    checkEpoch: (id, open) => checkEpoch(id, open, { epoch: machine.raft.epoch, clusterOf }),
    welcome: (id, open) => ({
      table: tableFor(trust, open),
      epoch: machine.raft.epoch,
      ...(open.manager === undefined
        ? {}
        : {
            managerCertificate: certify(clusterOf(), machine, {
              ...{ id, role: 'manager', key: open.manager.key, nowMs: clock.nowMs() },
            }),
          }),
      ...renewed(id, open.trustedKey),
    }),
    awaitMember: async (id) => {
      const deadlineMs = clock.steadyMs() + memberMsMax
      while (trust.member(id) === undefined || machine.view.cluster() === undefined) {
        if (clock.steadyMs() > deadlineMs) {
          const text = `node ${id} is not in the table of members of manager ${nodeId}`
          throw new CodedError('unavailable', text)
        }
        await clock.sleep(pollMs)
      }
    },
    local: options.worker,
  })
}

function tableFor(trust: Trust, { tableIndex, epoch }: SessionOpen): Uint8Array {
  const table = trust.table()
  const isKnown = tableIndex === table?.index && (epoch?.counter ?? 1) === (table.epoch ?? 1)
  return isKnown ? new Uint8Array(0) : present(trust.signedTable(), 'a manager has a table')
}

/**
 * A node may follow from its own epoch into one that was recovered from it, once; a manager that was
 * left behind may not, for it may have promised what was never kept. Throws conflict, or with
 * `isExpelled` for such a manager.
 */
function checkEpoch(
  id: NodeId,
  open: Pick<SessionOpen, 'epoch' | 'manager'>,
  here: { readonly epoch: Epoch; readonly clusterOf: () => Cluster },
): void {
  const { epoch } = here
  const theirs = open.epoch
  if (theirs === undefined || theirs.id === epoch.id) return
  const isChild = epoch.parent === theirs.id || here.clusterOf().epoch?.isForced === true
  if (!isChild) {
    const text = `node ${id} follows epoch ${theirs.counter} of the cluster (${theirs.id}), this manager is of epoch ${epoch.counter} (${epoch.id}), which does not descend from it: let the node leave and join again if this cluster is the right one`
    throw new CodedError('conflict', text)
  }
  if (open.manager === undefined) return
  const text = `the cluster was recovered without this manager, and is in epoch ${epoch.counter} now`
  throw new CodedError('permission-denied', text, { detail: { isExpelled: true } })
}

/** A certificate for a node's key. It only introduces; the log says what it may. */
export function certify(
  cluster: Cluster,
  machine: ManagerMachine,
  node: {
    readonly id: NodeId
    readonly role: CertificateRole
    readonly key: Uint8Array
    readonly nowMs: number
  },
): Uint8Array {
  const { generation = 1 } = machine.view.get('node', node.id) ?? {}
  return encodeCertificate(
    {
      clusterId: cluster.id,
      nodeId: node.id,
      role: node.role,
      key: node.key,
      generation,
      tableIndex: machine.appliedIndex,
      issuedAtMs: node.nowMs,
    },
    cluster.key.privateKey,
  )
}

async function handOver(
  host: ManagerHost,
  { machine, clock }: { readonly machine: ManagerMachine; readonly clock: Clock },
): Promise<void> {
  const { raft } = machine
  const others = raft.membership.members.filter(({ id, isVoter }) => isVoter && id !== raft.id)
  if (raft.role !== 'leader' || others.length === 0) return
  const deadlineMs = clock.steadyMs() + handOverMsMax
  host.dispatch({ type: 'transferRequested', nowMs: clock.nowMs() })
  while (raft.role === 'leader' && clock.steadyMs() < deadlineMs) await clock.sleep(pollMs)
}

async function restore(storage: RaftStorage, options: ManagerHalfOptions): Promise<Restored> {
  const { restored } = storage
  const start = await recordStart(realDisk, options.folder, {
    hardState: restored?.hardState,
    bootId: bootId(),
  })
  if (start.rewound !== undefined) {
    throw new CodedError(
      'damaged-data',
      `${options.folder}: ${start.rewound}. This disk went back in time, and the node may have promised what it does not remember. Remove it from the cluster and join it again`,
    )
  }
  const { founding, recovery } = options
  if (restored !== undefined) {
    if (recovery === undefined) return restored
    const { epochId, address } = recovery
    const recovered = recoverState(restored, { id: options.memberId, address, epochId })
    await storage.begin(recovered)
    return recovered
  }
  if (founding === undefined) {
    throw new CodedError('damaged-data', `${options.folder}/raft: the log of this manager is gone`)
  }
  await storage.begin(founding)
  return founding
}

async function readObjects(
  storage: RaftStorage,
): Promise<{ index: number; objects: readonly ClusterObject[] } | undefined> {
  const snapshot = storage.restored?.snapshot
  if (snapshot === undefined) return undefined
  const objects: ClusterObject[] = []
  for await (const value of storage.readSnapshot(snapshot.id)) objects.push(value as ClusterObject)
  return { index: snapshot.index, objects }
}

/** Follows a disk that fills up and gets room again, also before anybody listens. */
function watchRoom(clock: Clock): {
  readonly changed: (isFull: boolean) => void
  readonly follow: (storage: RaftStorage, tell: (isFull: boolean) => void) => void
  readonly stop: () => void
} {
  let isFull = false
  let isStopped = false
  let cancel: (() => void) | undefined
  let retry: () => Promise<unknown> = async () => undefined
  let tell: (isFull: boolean) => void = () => undefined
  const again = (): void => {
    cancel = clock.after(spaceRetryMs, () => {
      void retry().then(() => {
        if (isFull && !isStopped) again()
      })
    })
  }
  const changed = (isNowFull: boolean): void => {
    if (isFull === isNowFull || isStopped) return
    isFull = isNowFull
    cancel?.()
    if (isFull) again()
    tell(isFull)
  }
  return {
    changed,
    follow: (storage, listener) => {
      retry = () => storage.retrySpace()
      tell = listener
      if (isFull) listener(true)
    },
    stop: () => {
      isStopped = true
      cancel?.()
    },
  }
}
