// Node: one member of a cluster on this machine: its keys and log on the disk, the manager machine
// and the worker machine with their hosts, the executor and the ingress proxy, joined by hand.
//
//   manager host <-> raft storage           worker host <-> executor, ingress
//        |  assign ------------------------------>|
//        |<------------------------------ report  |     (in this process, no socket)

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import { asId, type ClusterId, makeId, type NodeId, type TaskId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import { seededRandom } from '../core/base/random.ts'
import { ManagerMachine } from '../core/machine/manager.ts'
import { WorkerMachine } from '../core/machine/worker.ts'
import type { Cluster } from '../core/object/cluster.ts'
import type { ManagerStatus, NodeDescription } from '../core/object/node.ts'
import type { ClusterObject } from '../core/object/object.ts'
import { bootstrapState } from '../core/raft/birth.ts'
import { raftLimits } from '../core/raft/limits.ts'
import { createRaft } from '../core/raft/raft.ts'
import type { Raft } from '../core/raft/types.ts'
import { createIngress, type Ingress } from '../net/balance/ingress.ts'
import { makeExchangeKeys, makeSigningKeys } from '../net/secure/crypto.ts'
import type { Clock } from './base/clock.ts'
import { version } from './base/version.ts'
import type { Executor } from './executor/executor.ts'
import { ManagerHost } from './host/manager-host.ts'
import { WorkerHost } from './host/worker-host.ts'
import type { InitRequest } from './http/backend.ts'
import { asDataKey, makeDataKey } from './storage/data-key.ts'
import { realDisk } from './storage/disk.ts'
import { loadState, saveState } from './storage/files.ts'
import { openRaftStorage, type RaftStorage } from './storage/raft-storage.ts'

export interface NodeOptions {
  readonly stateFolder: string
  readonly clock: Clock
  readonly log: Log
  readonly makeExecutor: (nodeId: NodeId) => Executor
  /** The process must end. */
  readonly onFatal: (error: unknown) => void
}

/** What a node is, as its folder says. */
export interface NodeIdentity {
  readonly nodeId: NodeId
  /** host:port for other nodes. */
  readonly managerAddress: string
  /** Address without port. */
  readonly address: string
}

export interface RunningNode extends NodeIdentity {
  readonly manager: ManagerHost
  readonly executor: Executor
  readonly ingress: Ingress
  readonly managerStatus: (id: NodeId) => ManagerStatus | undefined
  /** Stops; containers go on running. */
  readonly close: () => Promise<void>
  /** Stops, and removes the containers and the state. */
  readonly erase: () => Promise<void>
}

/** Ticks of `tickMs`: a heartbeat every 100 ms, an election after 500 to 1000 ms. */
const heartbeatTicks = 1
const electionTicks = 5
const readyMsMax = 10_000

/** Makes a new cluster whose first manager is this node. Leaves nothing behind when it throws. */
export async function foundCluster(
  options: NodeOptions,
  request: InitRequest & { readonly managerAddress: string; readonly address: string },
): Promise<RunningNode> {
  const { clock } = options
  const random = seededRandom(clock.randomBytes(16))
  const identity: NodeIdentity = {
    nodeId: makeId<NodeId>(random),
    managerAddress: request.managerAddress,
    address: request.address,
  }
  try {
    await writeIdentity(options, identity)
    const node = await openNode(options)
    await node.manager.submit({
      type: 'cluster.init',
      clusterId: makeId<ClusterId>(random),
      spec: request.spec,
      ...makeClusterKeys(clock),
      node: {
        id: identity.nodeId,
        keys: { worker: makeExchangeKeys().publicKey, manager: makeExchangeKeys().publicKey },
        managerAddress: identity.managerAddress,
        address: identity.address,
        availability: request.availability,
      },
      defaultAddressPool: request.defaultAddressPool,
      subnetSize: request.subnetSize ?? 24,
      dataPathPort: request.dataPathPort ?? 2377,
    })
    node.openSession()
    return node
  } catch (error) {
    eraseState(options.stateFolder)
    throw error
  }
}

/** Starts the node that the folder holds; undefined if it holds none. */
export async function resumeNode(options: NodeOptions): Promise<RunningNode | undefined> {
  const file = await loadState(realDisk, identityPath(options))
  if (file.type === 'absent') return undefined
  return openNode(options)
}

interface OpenNode extends RunningNode {
  readonly openSession: () => void
}

async function openNode(options: NodeOptions): Promise<OpenNode> {
  const { clock, log, stateFolder, onFatal } = options
  const { identity, dataKey } = await readIdentity(options)
  const { nodeId } = identity
  let raft: Raft | undefined
  const storage = await openRaftStorage({
    disk: realDisk,
    folder: join(stateFolder, 'raft'),
    keys: [asDataKey(dataKey)],
    log,
    onFatal,
    onSpace: (isFull) =>
      host.dispatch({ type: isFull ? 'diskFull' : 'diskFreed', nowMs: clock.nowMs() }),
    snapshotsInUse: () => raft?.snapshotsInUse ?? [],
  })
  const random = seededRandom(clock.randomBytes(16))
  const restored = await restoredState(storage, identity, makeId<ClusterId>(random))
  raft = createRaft(
    { id: nodeId, heartbeatTicks, electionTicks, limits: raftLimits, random },
    restored,
  )
  const snapshot = await readObjects(storage)
  const machine = new ManagerMachine({
    raft,
    random,
    ...(snapshot === undefined ? {} : { snapshot }),
  })
  const executor = options.makeExecutor(nodeId)
  const ingress = createIngress({ log, clock })
  const incarnation = base36(clock.randomBytes(16))
  let description: NodeDescription | undefined
  const host = new ManagerHost({
    machine,
    storage: {
      save: (operation) => storage.save(operation),
      takeSnapshot: (head, objects) => storage.takeSnapshot(head, objects),
    },
    clock,
    log,
    send: () => undefined,
    assign: (_node, assignments) => worker.assign(assignments),
    onReady: (isReady) => {
      if (isReady) openSession()
    },
    onFatal,
  })
  const worker = new WorkerHost({
    machine: new WorkerMachine(),
    executor,
    ingress: {
      setTable: (rows) => ingress.setTable(rows.filter(isServable)),
      drain: (taskId, deadlineMs) => ingress.drain(taskId, deadlineMs),
    },
    clock,
    log,
    report: (reports) => host.dispatch({ type: 'reported', nowMs: clock.nowMs(), nodeId, reports }),
    onFatal,
  })
  const openSession = (): void => {
    if (!machine.isReady || machine.view.get('node', nodeId) === undefined) return
    if (description === undefined) return
    const { address } = identity
    host.dispatch({
      type: 'sessionOpened',
      nowMs: clock.nowMs(),
      nodeId,
      incarnation,
      isLocal: true,
      description,
      address,
      reports: worker.reports(),
    })
  }
  const closing = new AbortController()
  const describing = describe({ executor, clock, log, signal: closing.signal }, (said) => {
    description = said
    openSession()
  })
  const close = async (): Promise<void> => {
    closing.abort(new CodedError('unavailable', 'the agent is stopping'))
    worker.close()
    host.close()
    await Promise.all([ingress.close(), describing, storage.close()])
    await executor.close()
  }
  host.start()
  worker.start()
  await untilReady(machine, clock)
  return {
    ...identity,
    manager: host,
    executor,
    ingress,
    openSession,
    managerStatus: (id) => managerStatus(machine.raft, id),
    close,
    erase: async () => {
      await removeContainers(worker, executor)
      await close()
      eraseState(stateFolder)
    },
  }
}

/** Asks the executor what this node is until it answers, and tells. */
async function describe(
  parts: { executor: Executor; clock: Clock; log: Log; signal: AbortSignal },
  tell: (description: NodeDescription) => void,
): Promise<void> {
  const { executor, clock, log, signal } = parts
  for (let waitMs = 250; !signal.aborted; waitMs = Math.min(waitMs * 2, 5_000)) {
    try {
      const said = await executor.describe(signal)
      tell({ ...said, runtime: executor.kind, agentVersion: version })
      return
    } catch (error) {
      if (signal.aborted) return
      log('warn', 'engine.unreachable', { error: String(error), waitMs })
      await clock.sleep(waitMs, signal).catch(() => undefined)
    }
  }
}

function managerStatus(raft: Raft, id: NodeId): ManagerStatus | undefined {
  const member = raft.membership.members.find((each) => each.id === id)
  if (member === undefined) return undefined
  return {
    isLeader: raft.leaderId === id,
    reachability: id === raft.id ? 'reachable' : 'unknown',
    address: member.address,
  }
}

/** Waits until this manager leads, or until nothing is to be expected. */
async function untilReady(machine: ManagerMachine, clock: Clock): Promise<void> {
  const deadlineMs = clock.steadyMs() + readyMsMax
  while (!machine.isReady && clock.steadyMs() < deadlineMs) await clock.sleep(5)
}

function isServable<Row extends { readonly protocol: string }>(
  row: Row,
): row is Row & { readonly protocol: 'tcp' | 'udp' } {
  return row.protocol === 'tcp' || row.protocol === 'udp'
}

async function removeContainers(worker: WorkerHost, executor: Executor): Promise<void> {
  worker.close()
  const { signal } = new AbortController()
  const containers = await executor.list(signal).catch(() => [])
  const remove = (id: TaskId): Promise<void> => executor.remove(id, signal)
  await Promise.allSettled(containers.map((container) => remove(container.taskId)))
}

// The disk

async function restoredState(
  storage: RaftStorage,
  identity: NodeIdentity,
  epochId: string,
): Promise<Parameters<typeof createRaft>[1]> {
  if (storage.restored !== undefined) return storage.restored
  const { nodeId, managerAddress } = identity
  const founded = bootstrapState({
    membership: {
      members: [{ id: nodeId, address: managerAddress, isVoter: true }],
      removed: [],
    },
    epoch: { counter: 1, id: epochId, parent: undefined },
  })
  await storage.begin(founded)
  return founded
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

function identityPath(options: NodeOptions): string {
  return join(options.stateFolder, 'node.state')
}

async function writeIdentity(options: NodeOptions, identity: NodeIdentity): Promise<void> {
  mkdirSync(options.stateFolder, { recursive: true, mode: 0o700 })
  const value = { ...identity, dataKey: makeDataKey().key }
  await saveState(realDisk, identityPath(options), { value })
}

async function readIdentity(
  options: NodeOptions,
): Promise<{ readonly identity: NodeIdentity; readonly dataKey: Uint8Array }> {
  const file = await loadState(realDisk, identityPath(options))
  if (file.type !== 'value') {
    throw new CodedError('damaged-data', `${identityPath(options)} cannot be read`)
  }
  const value = file.value as NodeIdentity & { readonly dataKey: Uint8Array }
  const { managerAddress, address, dataKey } = value
  return { identity: { nodeId: asId<NodeId>(value.nodeId), managerAddress, address }, dataKey }
}

function eraseState(folder: string): void {
  for (const name of ['raft', 'node.state']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
}

function makeClusterKeys(clock: Clock): Pick<Cluster, 'key' | 'joinSecrets'> {
  return {
    key: makeSigningKeys(),
    joinSecrets: { worker: makeSecret(clock), manager: makeSecret(clock) },
  }
}

/** 25 characters of base36 out of 32 random bytes. */
function makeSecret(clock: Clock): string {
  return base36(clock.randomBytes(32)).padStart(25, '0').slice(-25)
}

/** Bytes as one number of base 36. */
export function base36(bytes: Uint8Array): string {
  let value = 0n
  for (const byte of bytes) value = value * 256n + BigInt(byte)
  return value.toString(36)
}
