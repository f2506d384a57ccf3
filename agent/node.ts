// Node: one member of a cluster on this machine. Its worker half always runs; its manager half runs
// while its keys are open.
//
//   manager half <-> raft storage           worker half <-> executor, ingress
//        |  assign ------------------------------>|
//        |<------------------------------ report  |     (in this process, no socket)

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import { type ClusterId, makeId, type NodeId, type TaskId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import { seededRandom } from '../core/base/random.ts'
import { WorkerMachine } from '../core/machine/worker.ts'
import type { ManagerStatus, NodeDescription } from '../core/object/node.ts'
import { bootstrapState } from '../core/raft/birth.ts'
import type { Restored } from '../core/raft/types.ts'
import type { Applied } from '../core/store/change.ts'
import { createIngress, type Ingress } from '../net/balance/ingress.ts'
import { type KeyPair, makeSigningKeys } from '../net/secure/crypto.ts'
import { makeJoinSecret } from '../net/secure/join-token.ts'
import type { Clock } from './base/clock.ts'
import { version } from './base/version.ts'
import type { TaskFiles } from './executor/docker-container.ts'
import type { Executor } from './executor/executor.ts'
import type { ManagerHost } from './host/manager-host.ts'
import { createTaskFiles, type HostedTaskFiles } from './host/task-files.ts'
import { WorkerHost } from './host/worker-host.ts'
import { type InitRequest, swarmTexts } from './http/backend.ts'
import { loadIdentity, type NodeIdentity, removeIdentity, saveIdentity } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { type ManagerHalf, openManager } from './manager-half.ts'
import { realDisk } from './storage/disk.ts'
import { loadNodeKey, makeUnlockKey } from './storage/keystore.ts'
import { forgetStarts } from './storage/starts.ts'
import { createWorkerStore, type WorkerStore } from './storage/worker-store.ts'

export interface NodeOptions {
  readonly stateFolder: string
  readonly clock: Clock
  readonly log: Log
  /** Where the tmpfs with secrets and configs is mounted. */
  readonly filesFolder: string
  readonly makeExecutor: (nodeId: NodeId, files: TaskFiles) => Executor
  /** Told of everything that is committed. */
  readonly onApplied: (applied: readonly Applied[]) => void
  /** The process must end. */
  readonly onFatal: (error: unknown) => void
}

const readyMsMax = 10_000

export interface FoundRequest extends InitRequest {
  readonly managerAddress: string
  readonly address: string
}

/** Makes a new cluster whose first manager is this node. Leaves nothing behind when it throws. */
export async function foundCluster(options: NodeOptions, request: FoundRequest): Promise<Node> {
  const { clock, stateFolder } = options
  const random = seededRandom(clock.randomBytes(16))
  const identity: NodeIdentity = {
    nodeId: makeId<NodeId>(random),
    managerAddress: request.managerAddress,
    address: request.address,
    epochId: makeId(random),
  }
  const clusterKey = makeSigningKeys()
  const unlockKey = request.autoLockManagers ? makeUnlockKey() : undefined
  let node: Node | undefined
  try {
    const ring = await KeyRing.found({ disk: realDisk, folder: stateFolder }, clusterKey, unlockKey)
    const worker = await loadNodeKey({ disk: realDisk, folder: stateFolder })
    await saveIdentity(stateFolder, identity)
    node = new Node(options, { identity, ring, nodeKey: worker })
    await node.open(foundingState(identity))
    const keys = { worker: worker.publicKey, manager: ring.managerKey }
    const { nodeId: id, managerAddress, address } = identity
    const { availability } = request
    await node.manager().submit({
      type: 'cluster.init',
      clusterId: makeId<ClusterId>(random),
      spec: request.spec,
      key: clusterKey,
      joinSecrets: { worker: makeJoinSecret(), manager: makeJoinSecret() },
      ...(unlockKey === undefined ? {} : { unlockKey }),
      node: { id, keys, managerAddress, address, availability },
      defaultAddressPool: request.defaultAddressPool,
      subnetSize: request.subnetSize ?? 24,
      dataPathPort: request.dataPathPort ?? 2377,
    })
    node.openSession()
    return node
  } catch (error) {
    await node?.close()
    await eraseState(stateFolder)
    throw error
  }
}

/** Starts the node that the folder holds; undefined if it holds none. */
export async function resumeNode(options: NodeOptions): Promise<Node | undefined> {
  const { stateFolder } = options
  const identity = await loadIdentity(stateFolder)
  if (identity === undefined) return undefined
  const ring = await KeyRing.load({ disk: realDisk, folder: stateFolder })
  const nodeKey = await loadNodeKey({ disk: realDisk, folder: stateFolder })
  const node = new Node(options, { identity, ring, nodeKey })
  await node.open()
  return node
}

export class Node {
  readonly identity: NodeIdentity
  readonly executor: Executor
  readonly ingress: Ingress
  readonly #options: NodeOptions
  readonly #files: HostedTaskFiles
  readonly #worker: WorkerHost
  readonly #store: WorkerStore
  readonly #incarnation: string
  readonly #closing = new AbortController()
  readonly #ring: KeyRing
  #half: ManagerHalf | undefined
  #description: NodeDescription | undefined
  #describing: Promise<void> = Promise.resolve()

  constructor(
    options: NodeOptions,
    own: {
      readonly identity: NodeIdentity
      readonly ring: KeyRing
      readonly nodeKey: KeyPair
    },
  ) {
    const { clock, log, onFatal, stateFolder } = options
    const { identity, ring } = own
    this.#options = options
    this.identity = identity
    this.#ring = ring
    this.#incarnation = Buffer.from(clock.randomBytes(16)).toString('hex')
    const machine = new WorkerMachine()
    this.#files = createTaskFiles({
      folder: join(options.filesFolder, identity.nodeId),
      content: (id) => machine.file(id),
      log,
    })
    this.executor = options.makeExecutor(identity.nodeId, this.#files)
    this.ingress = createIngress({ log, clock })
    this.#store = createWorkerStore({
      disk: realDisk,
      folder: join(stateFolder, 'worker'),
      nodeKey: own.nodeKey.privateKey,
      clock,
      log,
    })
    this.#worker = new WorkerHost({
      machine,
      executor: this.executor,
      ingress: {
        setTable: (rows) => this.ingress.setTable(rows.filter(isServable)),
        drain: (taskId, deadlineMs) => this.ingress.drain(taskId, deadlineMs),
      },
      clock,
      log,
      report: (reports) => {
        const { nodeId } = identity
        this.#half?.host.dispatch({ type: 'reported', nowMs: clock.nowMs(), nodeId, reports })
      },
      store: (tasks) => this.#store.store(tasks),
      onFatal,
    })
  }

  get isLocked(): boolean {
    return this.#ring.isLocked
  }

  /** Starts both halves; the manager's waits for its key if it is locked. */
  async open(founding?: Restored): Promise<void> {
    this.#worker.restore(await this.#store.load())
    this.#worker.start()
    this.#describing = this.#describe()
    if (!this.#ring.isLocked) await this.#openManager(founding)
    else this.#options.log('warn', 'manager.locked', { node: this.identity.nodeId })
  }

  /** Opens the keys and starts the manager's half. Throws bad-request in Swarm's words. */
  async unlock(key: Uint8Array): Promise<void> {
    if (!this.#ring.isLocked) throw new CodedError('conflict', 'swarm is not locked')
    await this.#ring.unlock(key)
    await this.#openManager()
  }

  /** The manager's half. Throws locked. */
  manager(): ManagerHost {
    if (this.#half === undefined) throw new CodedError('locked', swarmTexts.isLocked)
    return this.#half.host
  }

  managerStatus(id: NodeId): ManagerStatus | undefined {
    const half = this.#half
    if (half === undefined) return undefined
    const { raft } = half.machine
    const memberId = half.machine.view.get('node', id)?.memberId
    const member = raft.membership.members.find((each) => each.id === memberId)
    if (member === undefined) return undefined
    const isKnown = raft.role === 'leader' || member.id === raft.id
    return {
      isLeader: raft.leaderId === member.id,
      reachability: !isKnown
        ? 'unknown'
        : half.machine.isReachable(member.id)
          ? 'reachable'
          : 'unreachable',
      address: member.address,
    }
  }

  /** Seals the manager's keys as the cluster wants it; resolves when that is on the disk. */
  async followLock(): Promise<void> {
    const half = this.#half
    if (half?.machine.view.cluster() === undefined) return
    const { log, onFatal } = this.#options
    const wanted = (): Uint8Array | undefined => half.machine.view.cluster()?.unlockKey
    try {
      const isChanged = await this.#ring.follow(wanted, half.storage)
      if (isChanged) log('info', 'manager.keys-sealed', { isLocking: wanted() !== undefined })
    } catch (error) {
      onFatal(error)
    }
  }

  /** Tells the manager, when it is ready and this node is known to it, what this node is. */
  openSession(): void {
    const { nodeId, address } = this.identity
    const machine = this.#half?.machine
    const description = this.#description
    if (machine?.isReady !== true || description === undefined) return
    if (machine.view.get('node', nodeId) === undefined) return
    this.#half?.host.dispatch({
      type: 'sessionOpened',
      nowMs: this.#options.clock.nowMs(),
      nodeId,
      incarnation: this.#incarnation,
      isLocal: true,
      description,
      address,
      reports: this.#worker.reports(),
    })
    this.#worker.setReached(true)
  }

  /** Stops; containers go on running. */
  async close(): Promise<void> {
    this.#closing.abort(new CodedError('unavailable', 'the agent is stopping'))
    this.#worker.close()
    await Promise.all([
      this.ingress.close(),
      this.#describing,
      this.#half?.close(),
      this.#store.close(),
    ])
    await this.executor.close()
  }

  /** Stops, and removes the containers and the state. */
  async erase(): Promise<void> {
    this.#worker.close()
    await removeContainers(this.executor)
    await this.close()
    await this.#files.erase()
    await eraseState(this.#options.stateFolder)
  }

  async #openManager(founding?: Restored): Promise<void> {
    const { clock, log, stateFolder, onFatal } = this.#options
    const half = await openManager({
      folder: stateFolder,
      memberId: this.identity.nodeId,
      dataKeys: this.#ring.dataKeys,
      founding,
      clock,
      log,
      send: () => undefined,
      assign: (_node, assignments) => this.#worker.assign(assignments),
      onReady: (isReady) => {
        if (isReady) this.openSession()
        else this.#worker.setReached(false)
      },
      onFatal,
    })
    this.#half = half
    let isCaughtUp = false
    half.host.watch((applied) => {
      this.#options.onApplied(applied)
      // While the log is read again after a start, old settings pass by: only the last ones count.
      if (isCaughtUp && applied.some(({ after }) => after?.kind === 'cluster'))
        void this.followLock()
    })
    half.host.start()
    await untilReady(half, clock)
    isCaughtUp = true
    await this.followLock()
  }

  /** Asks the executor what this node is until it answers, and tells. */
  async #describe(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#closing
    for (let waitMs = 250; !signal.aborted; waitMs = Math.min(waitMs * 2, 5_000)) {
      try {
        const said = await this.executor.describe(signal)
        this.#description = { ...said, runtime: this.executor.kind, agentVersion: version }
        this.openSession()
        return
      } catch (error) {
        if (signal.aborted) return
        log('warn', 'engine.unreachable', { error: String(error), waitMs })
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    }
  }
}

/** What Raft begins with on the first manager of a cluster. */
function foundingState(identity: NodeIdentity): Restored {
  const { nodeId, managerAddress, epochId } = identity
  return bootstrapState({
    membership: { members: [{ id: nodeId, address: managerAddress, isVoter: true }], removed: [] },
    epoch: { counter: 1, id: epochId, parent: undefined },
  })
}

/** Waits until this manager leads, or until nothing is to be expected. */
async function untilReady({ machine }: ManagerHalf, clock: Clock): Promise<void> {
  const deadlineMs = clock.steadyMs() + readyMsMax
  while (!machine.isReady && clock.steadyMs() < deadlineMs) await clock.sleep(5)
}

function isServable<Row extends { readonly protocol: string }>(
  row: Row,
): row is Row & { readonly protocol: 'tcp' | 'udp' } {
  return row.protocol === 'tcp' || row.protocol === 'udp'
}

async function removeContainers(executor: Executor): Promise<void> {
  const { signal } = new AbortController()
  const containers = await executor.list(signal).catch(() => [])
  const remove = (id: TaskId): Promise<void> => executor.remove(id, signal)
  await Promise.allSettled(containers.map((container) => remove(container.taskId)))
}

async function eraseState(folder: string): Promise<void> {
  for (const name of ['raft', 'manager.key', 'node.key', 'worker/assignments']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
  await forgetStarts(realDisk, folder)
  await removeIdentity(folder)
}
