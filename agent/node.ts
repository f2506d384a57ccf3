// Node: one member of a cluster on this machine. Its worker half always runs; its manager half runs
// while it is a manager and its keys are open.
//
//   manager half <-> raft storage            worker half <-> executor, ingress
//     ^   router <------ session client ------>  |
//     |      ^   (own manager, or any other)     |
//     '------+---- peers: one port, all nodes ---'

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { present } from '../core/base/assert.ts'
import { equal } from '../core/base/equal.ts'
import { CodedError, hasCode } from '../core/base/error.ts'
import { type ClusterId, makeId, type NodeId, type TaskId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import { seededRandom } from '../core/base/random.ts'
import type { Command, CommandAnswer } from '../core/command/command.ts'
import type { MemberTable } from '../core/dispatch/table.ts'
import { WorkerMachine } from '../core/machine/worker.ts'
import {
  type ManagerStatus,
  memberIdOf,
  type NodeDescription,
  nodeOfMember,
} from '../core/object/node.ts'
import { stateRank } from '../core/object/task.ts'
import { bootstrapState, joinState } from '../core/raft/birth.ts'
import type { Fate, Restored } from '../core/raft/types.ts'
import type { Applied } from '../core/store/change.ts'
import type { View } from '../core/store/view.ts'
import { createIngress, type Ingress } from '../net/balance/ingress.ts'
import type { MessageRow, RequestRow, StreamRow } from '../net/cluster/connection.ts'
import { createPeers, type Peers } from '../net/cluster/peers.ts'
import {
  type CertificateRole,
  decodeCertificate,
  encodeCertificate,
} from '../net/secure/certificate.ts'
import { isEqual, type KeyPair, makeSigningKeys } from '../net/secure/crypto.ts'
import type { Identity } from '../net/secure/handshake.ts'
import { makeJoinSecret } from '../net/secure/join-token.ts'
import { tableChange } from '../net/secure/signed-table.ts'
import type { SessionOpen, SessionWelcome } from '../net/wire/session-messages.ts'
import { parseHostPort } from './base/addresses.ts'
import type { Clock } from './base/clock.ts'
import { version } from './base/version.ts'
import type { TaskFiles } from './executor/docker-container.ts'
import type { Executor } from './executor/executor.ts'
import { admitter, guestHandlers } from './guests.ts'
import { createLeaseKeeper, type LeaseKeeper } from './host/lease-keeper.ts'
import type { TaskLog } from './host/log-merge.ts'
import { createNodeLogs, type LogRequest, type NodeLogs } from './host/node-logs.ts'
import { createSessionClient, type SessionClient } from './host/session-client.ts'
import { createTaskFiles, type HostedTaskFiles } from './host/task-files.ts'
import { createTrust, type Trust } from './host/trust.ts'
import { WorkerHost } from './host/worker-host.ts'
import { type InitRequest, type RecoveryPlan, swarmTexts } from './http/backend.ts'
import {
  type Addresses,
  loadIdentity,
  type NodeIdentity,
  removeIdentity,
  saveIdentity,
} from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { certify, type ManagerHalf, openManager, type Recovery } from './manager-half.ts'
import { realDisk } from './storage/disk.ts'
import { loadNodeKey, makeUnlockKey } from './storage/keystore.ts'
import { loadMembers, removeMembers, saveMembers } from './storage/members.ts'
import { forgetStarts } from './storage/starts.ts'
import { createWorkerStore, type WorkerStore } from './storage/worker-store.ts'
import { publishTable } from './table.ts'

export interface NodeOptions {
  readonly stateFolder: string
  /** The daemon's own addresses, and which of them its flags have named. */
  readonly configured: Addresses & { readonly given: readonly (keyof Addresses)[] }
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

export interface FoundRequest extends InitRequest {
  readonly listenOn: string
  readonly managerAddress: string
  readonly address: string
}

/** What a node is made of when it starts. */
export interface NodeParts {
  readonly identity: NodeIdentity
  readonly nodeKey: KeyPair
  /** Absent on workers. */
  readonly ring?: KeyRing
}

const roleMsMax = 10_000
/** Until a manager is asked again for a certificate of the cluster's new key. */
const certificateRetryMs = 1_000
/** Many join at once: those who are members already hear of them together. */
const tellDelayMs = 100
/** An engine that is upgraded is back before that. */
const engineMsMax = 15_000
const pollMs = 50

/** Makes a new cluster whose first manager is this node. Leaves nothing behind when it throws. */
export async function foundCluster(options: NodeOptions, request: FoundRequest): Promise<Node> {
  const { clock, stateFolder } = options
  const random = seededRandom(clock.randomBytes(16))
  const clusterKey = makeSigningKeys()
  const unlockKey = request.autoLockManagers ? makeUnlockKey() : undefined
  const [nodeId, clusterId] = [makeId<NodeId>(random), makeId<ClusterId>(random)]
  const { managerAddress, address, listenOn: listenAddress, availability } = request
  let node: Node | undefined
  try {
    const place = { disk: realDisk, folder: stateFolder }
    const ring = await KeyRing.found(place, clusterKey, unlockKey)
    const nodeKey = await loadNodeKey(place)
    const certify = (role: 'worker' | 'manager', key: Uint8Array): Uint8Array =>
      encodeCertificate(
        {
          ...{ clusterId, nodeId, role, key, generation: 1, tableIndex: 0 },
          issuedAtMs: clock.nowMs(),
        },
        clusterKey.privateKey,
      )
    const epoch = { counter: 1, id: makeId(random), parent: undefined }
    const identity: NodeIdentity = {
      ...{ nodeId, clusterId, address, listenAddress, managerAddress, epoch },
      configured: addressesOf(options),
      clusterKey: clusterKey.publicKey,
      ...{ formerKeys: [], successions: [] },
      certificate: certify('worker', nodeKey.publicKey),
      manager: { certificate: certify('manager', ring.managerKey.publicKey), memberId: nodeId },
    }
    await saveIdentity(stateFolder, identity)
    node = new Node(options, { identity, ring, nodeKey })
    const member = { id: nodeId, address: managerAddress, isVoter: true }
    await node.open(bootstrapState({ membership: { members: [member], removed: [] }, epoch }))
    const keys = { worker: nodeKey.publicKey, manager: ring.managerKey.publicKey }
    await node.submit({
      type: 'cluster.init',
      clusterId,
      spec: request.spec,
      key: clusterKey,
      joinSecrets: { worker: makeJoinSecret(), manager: makeJoinSecret() },
      ...(unlockKey === undefined ? {} : { unlockKey }),
      node: { id: nodeId, keys, managerAddress, address, availability },
      defaultAddressPool: request.defaultAddressPool,
      subnetSize: request.subnetSize ?? 24,
      dataPathPort: request.dataPathPort ?? 2377,
    })
    return node
  } catch (error) {
    await node?.close()
    await eraseState(stateFolder)
    throw error
  }
}

/** Starts the node that the folder holds; undefined if it holds none. */
export async function resumeNode(options: NodeOptions): Promise<Node | undefined> {
  const { stateFolder: folder } = options
  const stored = await loadIdentity(folder)
  if (stored === undefined) return undefined
  const identity = followConfiguration(stored, options)
  if (identity !== stored) await saveIdentity(folder, identity)
  const place = { disk: realDisk, folder }
  const nodeKey = await loadNodeKey(place)
  const ring = identity.manager === undefined ? undefined : await KeyRing.load(place)
  const node = new Node(options, { identity, nodeKey, ...(ring === undefined ? {} : { ring }) })
  const members = await loadMembers(folder)
  if (members !== undefined) {
    try {
      node.trust.take(members, { isOwn: true })
    } catch (error) {
      // A manager's log has it all, and a worker hears it again.
      if (!(error instanceof CodedError)) throw error
      options.log('warn', 'members.unreadable', { reason: error.message })
    }
  }
  await node.open()
  return node
}

/** The daemon's addresses, for the identity. */
export function addressesOf({ configured }: Pick<NodeOptions, 'configured'>): Addresses {
  return { listen: configured.listen, advertise: configured.advertise }
}

/**
 * The identity with the addresses that the daemon has now. A flag that was changed says so; without
 * a flag the address follows the machine, unless another one was asked for at init or join.
 */
function followConfiguration(identity: NodeIdentity, options: NodeOptions): NodeIdentity {
  const now = options.configured
  const before = identity.configured ?? addressesOf(options)
  const isNews = (name: keyof Addresses, inUse: string): boolean => {
    if (now[name] === before[name] || now[name] === inUse) return false
    if (now.given.includes(name)) return true
    return inUse === before[name] && !isLoopback(parseHostPort(now[name]).host)
  }
  const { address, managerAddress, listenAddress } = identity
  const isAdvertised = isNews('advertise', managerAddress)
  const isAddressFollowed = isAdvertised && address === parseHostPort(managerAddress).host
  const next = {
    ...identity,
    configured: addressesOf(options),
    listenAddress: isNews('listen', listenAddress) ? now.listen : listenAddress,
    managerAddress: isAdvertised ? now.advertise : managerAddress,
    address: isAddressFollowed ? parseHostPort(now.advertise).host : address,
  }
  if (equal(next, identity)) return identity
  if (isAdvertised) {
    options.log('info', 'node.address', { before: managerAddress, now: now.advertise })
  }
  return next
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1'
}

export class Node {
  readonly executor: Executor
  readonly ingress: Ingress
  readonly trust: Trust
  readonly peers: Peers
  readonly #options: NodeOptions
  readonly #nodeKey: KeyPair
  readonly #files: HostedTaskFiles
  readonly #worker: WorkerHost
  readonly #store: WorkerStore
  readonly #client: SessionClient
  readonly #logs: NodeLogs
  readonly #lease: LeaseKeeper
  readonly #incarnation: string
  readonly #closing = new AbortController()
  /** What others may ask of us now; the manager's rows come and go. */
  readonly #rows: {
    readonly messages: Record<string, MessageRow>
    readonly requests: Record<string, RequestRow>
    readonly streams: Record<string, StreamRow>
  } = { messages: {}, requests: {}, streams: {} }
  #identity: NodeIdentity
  #ring: KeyRing | undefined
  #half: ManagerHalf | undefined
  #isListening = false
  #isCaughtUp = false
  #expelled: string | undefined
  /** Why the manager's half does not work; undefined while it does. */
  #trouble: string | undefined
  /** Others do not take us for a manager: until that is cleared we come as a worker. */
  #isDoubted = false
  /** Managers that do not know us at all, since one did. */
  readonly #refusers = new Set<NodeId>()
  #isLeaving = false
  #description: NodeDescription | undefined
  #describing: Promise<void> = Promise.resolve()
  /** Why this node can run nothing at present. */
  #fault: string | undefined
  #cancelFault: (() => void) | undefined
  /** The table that those with a session here have, or an older one than they have. */
  #told: MemberTable | undefined
  #cancelTell: (() => void) | undefined
  /** Changes of role run one after the other. */
  #changing: Promise<void> = Promise.resolve()

  constructor(options: NodeOptions, parts: NodeParts) {
    const { clock, log, onFatal, stateFolder } = options
    this.#options = options
    this.#identity = parts.identity
    this.#nodeKey = parts.nodeKey
    this.#ring = parts.ring
    const { nodeId } = parts.identity
    this.#incarnation = Buffer.from(clock.randomBytes(16)).toString('hex')
    const { clusterKey, formerKeys, successions } = parts.identity
    this.trust = createTrust([clusterKey, ...formerKeys], successions)
    this.trust.watch(() => this.#followTable())
    this.peers = createPeers({
      identity: () => this.#certified(),
      trust: this.trust,
      admitGuest: admitter(() => this.#half?.machine.view.cluster()),
      handlers: {
        ...this.#rows,
        guests: guestHandlers(() => this.#open(), {
          ...{ clock, log },
          peers: { probe: (address, timeoutMs) => this.peers.probe(address, timeoutMs) },
        }),
      },
      agentVersion: version,
      clock,
      log,
      onPeerDown: (id) => {
        this.#client.peerDown(id)
        this.#half?.router.detach(id)
      },
      onFault: onFatal,
    })
    const machine = new WorkerMachine()
    this.#files = createTaskFiles({
      folder: join(options.filesFolder, nodeId),
      content: (id) => machine.file(id),
      log,
    })
    this.executor = options.makeExecutor(nodeId, this.#files)
    this.ingress = createIngress({ log, clock })
    this.#store = createWorkerStore({
      disk: realDisk,
      folder: join(stateFolder, 'worker'),
      nodeKey: parts.nodeKey.privateKey,
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
      report: (reports) => this.#client.report(reports),
      store: (memory) => this.#store.store(memory),
      leaseOverMs: () => this.#lease.overMs(),
      onEngine: () => this.#redescribe(),
      onEngineLost: (reason) => this.#missEngine(reason),
      onFatal,
    })
    this.#lease = createLeaseKeeper({
      path: `${options.filesFolder}.${nodeId}.lease`,
      isNeeded: () => machine.isLeasing,
      onRenewed: () => this.#worker.setLease(true),
      onEnded: () => this.#worker.setLease(false),
      ...{ clock, log },
    })
    this.#client = createSessionClient({
      ownId: nodeId,
      peers: this.peers,
      managers: () => this.trust.managers().map(({ id }) => id),
      router: () => this.#half?.router,
      say: () => this.#say(),
      onWelcome: (welcome) => this.#takeWelcome(welcome),
      onAssign: (assignments) => this.#worker.assign(assignments),
      onTable: (change) => {
        if (!this.trust.takeChange(change)) this.#client.renew()
      },
      onReached: (isReached, silentMs) => this.#worker.setReached(isReached, silentMs),
      onLease: (sentAtMs, heartbeatMs) => this.#lease.renew(sentAtMs, heartbeatMs),
      onRefused: (manager, error, isFinal) => this.#takeRefusal(manager, error, isFinal),
      clock,
      log,
    })
    this.#logs = createNodeLogs({
      ownId: nodeId,
      peers: this.peers,
      executor: this.executor,
      managers: () => this.trust.managers().map(({ id }) => id),
      clock,
      log,
    })
    Object.assign(this.#rows.messages, this.#client.handlers.messages)
    Object.assign(this.#rows.requests, this.#logs.nodeHandlers.requests)
  }

  get identity(): NodeIdentity {
    return this.#identity
  }

  get isManager(): boolean {
    return this.#half !== undefined
  }

  get isLocked(): boolean {
    return this.#ring?.isLocked === true
  }

  /** Why this node is not, or no longer, a member; undefined while it is. */
  get expelled(): string | undefined {
    return this.#expelled
  }

  /** What keeps this node from being what it should be; undefined if nothing does. */
  get trouble(): string | undefined {
    return this.#expelled ?? this.#trouble
  }

  /** Starts both halves; the manager's waits for its key if it is locked. */
  async open(founding?: Restored): Promise<void> {
    this.#worker.restore(await this.#store.load())
    this.#lease.start()
    this.#worker.start()
    this.#redescribe()
    if (this.isLocked) {
      this.#options.log('warn', 'manager.locked', { node: this.identity.nodeId })
    } else if (this.#ring !== undefined && this.#identity.manager !== undefined) {
      await this.#openManager({ founding })
    }
    this.#client.start()
  }

  /** Opens the keys and starts the manager's half. Throws bad-request in Swarm's words. */
  async unlock(key: Uint8Array): Promise<void> {
    const ring = this.#ring
    if (ring?.isLocked !== true) throw new CodedError('conflict', 'swarm is not locked')
    await ring.unlock(key)
    await this.#openManager()
    this.#reconnect()
  }

  /** Resolves when committed. Throws locked, not-a-manager, no-leader, and what it breaks. */
  submit(command: Command): Promise<CommandAnswer> {
    return this.#open().line.submit(command)
  }

  /** What is committed as of this call. Throws the same. */
  read(): Promise<View> {
    return this.#open().line.read()
  }

  /** What this manager knows without a leader. Throws locked, not-a-manager. */
  stale(): { readonly view: View; readonly ageMs: number } {
    return this.#open().line.stale()
  }

  /** The logs of tasks of the whole cluster. Throws locked, not-a-manager. */
  readLogs(
    tasks: readonly TaskId[],
    request: Pick<LogRequest, 'log' | 'signal' | 'onMissed'>,
  ): AsyncIterable<TaskLog> {
    const { machine } = this.#open()
    return this.#logs.read({ ...request, ...logTargets(tasks, () => machine.view) })
  }

  managerStatus(id: NodeId): ManagerStatus | undefined {
    const half = this.#half
    if (half === undefined) return undefined
    const { machine, line } = half
    const memberId = machine.view.get('node', id)?.memberId
    const member = machine.raft.membership.members.find((each) => each.id === memberId)
    if (member === undefined) return undefined
    const isReachable = line.isReachable(member.id)
    return {
      isLeader: machine.raft.leaderId === member.id,
      reachability:
        isReachable === undefined ? 'unknown' : isReachable ? 'reachable' : 'unreachable',
      address: member.address,
    }
  }

  /** Seals the manager's keys as the cluster wants it; resolves when that is on the disk. */
  async followLock(): Promise<void> {
    const [half, ring] = [this.#half, this.#ring]
    if (half?.machine.view.cluster() === undefined || ring === undefined) return
    const { log, onFatal } = this.#options
    const wanted = (): Uint8Array | undefined => half.machine.view.cluster()?.unlockKey
    try {
      const isChanged = await ring.follow(wanted, half.storage)
      if (isChanged) log('info', 'manager.keys-sealed', { isLocking: wanted() !== undefined })
    } catch (error) {
      onFatal(error)
    }
  }

  /**
   * Goes on alone after the majority of managers was lost, in a new epoch, with all that this one
   * holds. Throws failed-precondition while a leader is heard, unless forced; locked, not-a-manager.
   */
  async recover(request: {
    readonly isDryRun: boolean
    readonly isForced: boolean
    /** host:port; absent: as before. */
    readonly managerAddress?: string
  }): Promise<RecoveryPlan> {
    const half = this.#open()
    const { raft, view } = half.machine
    const others = raft.membership.members.filter(({ id }) => id !== raft.id)
    if (raft.leaderId !== undefined && others.length > 0 && !request.isForced) {
      throw new CodedError(
        'failed-precondition',
        `the managers have a leader (${raft.leaderId}): no quorum is lost, and there is nothing to recover. If the others are gone for good all the same, say --yes-the-others-are-gone`,
      )
    }
    const plan: RecoveryPlan = {
      epoch: raft.epoch.counter + 1,
      index: raft.lastIndex,
      uncommitted: raft.lastIndex - raft.commit,
      forgotten: others.map(({ id }) => nodeOfMember(id)),
      services: view.count('service'),
      nodes: view.count('node'),
    }
    if (request.isDryRun) return plan
    const { log, clock } = this.#options
    const address = request.managerAddress ?? this.#identity.managerAddress
    log('warn', 'cluster.recovering', { ...plan, forgotten: plan.forgotten.join(' ') })
    this.#isCaughtUp = false
    await this.#closeManager(half)
    const epochId = makeId(seededRandom(clock.randomBytes(16)))
    await this.#setIdentity({ ...this.#identity, managerAddress: address })
    const { isForced } = request
    const opened = await this.#openManager({ recovery: { epochId, address, isForced } })
    await this.#setIdentity({ ...this.#identity, epoch: opened.machine.raft.epoch })
    this.#trouble = undefined
    this.#isDoubted = false
    this.#reconnect()
    await opened.line.read()
    return plan
  }

  /** Waits until the node takes part: its session is open, and a manager has read the log. */
  async ready(timeoutMs: number): Promise<boolean> {
    const { clock } = this.#options
    const deadlineMs = clock.steadyMs() + timeoutMs
    const isReady = (): boolean =>
      this.#client.isOpen() && (this.#ring === undefined || this.#isCaughtUp)
    while (!isReady() && clock.steadyMs() < deadlineMs) await clock.sleep(pollMs)
    return isReady()
  }

  /** Stops; containers go on running. Another manager leads first, if this one does. */
  async close(): Promise<void> {
    await this.#half?.handOver()
    this.#closing.abort(new CodedError('unavailable', 'the agent is stopping'))
    this.#client.close()
    this.#lease.close()
    this.#cancelFault?.()
    this.#cancelTell?.()
    this.#worker.close()
    await Promise.all([
      this.ingress.close(),
      this.#describing,
      this.#half?.close(),
      this.#store.close(),
    ])
    await this.peers.close()
    await this.executor.close()
  }

  /** Says good-bye to the cluster, stops, and removes the containers and the state. */
  async leave(): Promise<void> {
    const { log, stateFolder } = this.#options
    this.#isLeaving = true
    this.#worker.close()
    // First: once the managers know, they start the same elsewhere.
    await removeContainers(this.executor)
    if (this.trouble === undefined) {
      try {
        await this.#client.leave()
        this.#client.close()
        await this.#resign()
      } catch (error) {
        log('warn', 'leave.unheard', { error: String(error) })
      }
    }
    await this.#half?.handOver()
    await this.close()
    await this.#files.erase()
    this.#lease.erase()
    await eraseState(stateFolder)
  }

  /** A manager that leaves is demoted first, so that it does not count for the quorum any more. */
  async #resign(): Promise<void> {
    const half = this.#half
    if (half === undefined) return
    for (let tries = 3; !(await this.#demoteSelf(half)) && tries > 0; tries--) {
      await this.#options.clock.sleep(pollMs)
    }
    await this.#awaitRelease(half)
  }

  /** True if it is done, or needs not be; false if the node was changed meanwhile. */
  async #demoteSelf(half: ManagerHalf): Promise<boolean> {
    const view = await half.line.read()
    const node = view.get('node', this.#identity.nodeId)
    const managers = [...view.all('node')].filter(({ spec }) => spec.role === 'manager')
    if (node === undefined || node.spec.role === 'worker' || managers.length < 2) return true
    const { id, version, spec } = node
    const worker = { ...spec, role: 'worker' } as const
    try {
      await half.line.submit({ type: 'node.update', id, version, spec: worker })
      return true
    } catch (error) {
      // The word that it leaves may still be on its way into the log.
      if (hasCode(error, 'out-of-sequence')) return false
      throw error
    }
  }

  /** Waits, for a while, until raft has let this member go. */
  async #awaitRelease(half: ManagerHalf): Promise<void> {
    const { clock } = this.#options
    const { raft } = half.machine
    const deadlineMs = clock.steadyMs() + roleMsMax
    const isMember = (): boolean => raft.membership.members.some(({ id }) => id === raft.id)
    const isHeld = (): boolean =>
      raft.role !== 'stopped' && !this.#isDoubted && (raft.role === 'leader' || isMember())
    while (isHeld() && clock.steadyMs() < deadlineMs) await clock.sleep(pollMs)
  }

  /** The manager's half. Throws locked, not-a-manager. */
  #open(): ManagerHalf {
    if (this.isLocked) throw new CodedError('locked', swarmTexts.isLocked)
    if (this.#half !== undefined) return this.#half
    if (this.trouble !== undefined) throw new CodedError('not-a-manager', this.trouble)
    const isComing = this.#ring !== undefined
    throw new CodedError('not-a-manager', isComing ? swarmTexts.isPreparing : swarmTexts.isWorker)
  }

  /** Who we are to other nodes: the manager if its keys are open, else the worker. */
  #certified(): Identity {
    const { clusterId, nodeId, clusterKey, successions, certificate, manager } = this.#identity
    const ring = this.#ring
    const isOpen = ring !== undefined && !ring.isLocked
    const isManager = manager !== undefined && isOpen && !this.#isDoubted
    return {
      ...{ clusterId, nodeId, clusterKey, successions, incarnation: this.#incarnation },
      keys: isManager ? ring.managerKey : this.#nodeKey,
      certificate: isManager ? manager.certificate : certificate,
    }
  }

  /** What a session opens with; undefined until the executor has answered. */
  #say(): Omit<SessionOpen, 'session' | 'sentAtMs'> | undefined {
    const description = this.#description
    if (description === undefined) return undefined
    const { address, managerAddress } = this.#identity
    const ring = this.#ring
    const epoch = this.#half?.machine.raft.epoch ?? this.#identity.epoch
    return {
      incarnation: this.#incarnation,
      description,
      address,
      reports: this.#worker.reports(),
      tableIndex: this.#tableIndex(),
      trustedKey: this.#trustedKey(),
      ...(this.#fault === undefined ? {} : { fault: this.#fault }),
      ...(epoch === undefined ? {} : { epoch }),
      ...(ring === undefined || ring.isLocked
        ? {}
        : { manager: { key: ring.managerKey.publicKey, address: managerAddress } }),
    }
  }

  /** Of the table that we have, if it is of the epoch that we say we follow; else 0. */
  #tableIndex(): number {
    const table = this.trust.table()
    const isSame = (table?.epoch ?? 1) === (this.#identity.epoch?.counter ?? 1)
    return table !== undefined && isSame ? table.index : 0
  }

  #takeWelcome(welcome: SessionWelcome): void {
    this.#refusers.clear()
    if (this.#half !== undefined || this.#ring === undefined) this.#trouble = undefined
    if (this.#expelled !== undefined) {
      this.#options.log('info', 'node.taken-back', { was: this.#expelled })
      this.#expelled = undefined
    }
    const { epoch } = welcome
    if (epoch.id !== this.#identity.epoch?.id) {
      this.#change(() => this.#setIdentity({ ...this.#identity, epoch }))
    }
    if (welcome.table.length > 0) this.trust.take(welcome.table)
    const { managerCertificate, certificate } = welcome
    this.#change(() => this.#takeCertificate(certificate))
    if (this.#isDoubted && this.#isStillManager()) {
      this.#isDoubted = false
      this.#reconnect()
    }
    if (managerCertificate === undefined || this.#identity.manager !== undefined) return
    if (this.trust.member(this.#identity.nodeId)?.role !== 'manager') return
    this.#change(() => this.#becomeManager(managerCertificate))
  }

  /** The table of members is another: whom to dial, whom to hear, and what we are ourselves. */
  #followTable(): void {
    const { nodeId } = this.#identity
    const signed = this.trust.signedTable()
    if (signed !== undefined) {
      saveMembers(this.#options.stateFolder, signed).catch((error: unknown) => {
        this.#options.log('error', 'members.not-stored', { error: String(error) })
      })
      // Who is out has to hear of it before the connection ends.
      const isOut = this.#told?.rows.some(({ id }) => this.trust.member(id) === undefined)
      if (isOut === true) this.#tellTable()
      else this.#cancelTell ??= this.#options.clock.after(tellDelayMs, () => this.#tellTable())
    }
    for (const { id, managerAddress } of this.trust.table()?.rows ?? []) {
      if (id === nodeId) continue
      const isKnown = managerAddress !== undefined
      this.peers.setAddresses(id, isKnown ? [parseHostPort(managerAddress)] : [])
    }
    this.peers.recheck()
    if (this.#isLeaving) return
    this.#change(() => this.#followKey())
    const row = this.trust.member(nodeId)
    // Demoted, and perhaps promoted again while it was away: as another member.
    const isOver = this.#identity.manager !== undefined && !this.#isStillManager()
    if (row === undefined) this.#expel(`node ${nodeId} was removed from the cluster`)
    else if (row.role === 'manager' && this.#ring === undefined) {
      this.#change(() => this.#makeRing())
    } else if ((row.role === 'worker' || isOver) && this.#ring !== undefined && !this.isLocked) {
      this.#change(() => this.#stepDown())
    }
  }

  /** Those whose session is with us: what has changed since they were told last. */
  #tellTable(): void {
    this.#cancelTell?.()
    this.#cancelTell = undefined
    const [table, signed, told] = [this.trust.table(), this.trust.signedTable(), this.#told]
    this.#told = table
    if (table === undefined || signed === undefined || told === undefined) return
    const change = tableChange(told, { table, signed })
    if (change.index > change.from) this.#half?.router.tellAttached('session.table', change)
  }

  /** The cluster's key that our certificate is signed with. */
  #trustedKey(): Uint8Array {
    const { certificate, clusterKey } = this.#identity
    const signer = this.trust.clusterKeys().find((key) => isSignedBy(certificate, key))
    return signer ?? clusterKey
  }

  /** The cluster has another key: it is written down, and a session asks for a new certificate. */
  async #followKey(): Promise<void> {
    const [clusterKey, ...formerKeys] = this.trust.clusterKeys()
    if (clusterKey === undefined) return
    const own = this.#ownCertificates(clusterKey)
    const isKnown = isEqual(clusterKey, this.#identity.clusterKey)
    const { certificate, manager } = this.#identity
    const held = own === undefined ? [] : [certificate, manager?.certificate ?? certificate]
    if (isKnown && held.every((each) => isSignedBy(each, clusterKey))) return
    const successions = this.trust.chain()
    await this.#setIdentity({ ...this.#identity, ...own, clusterKey, formerKeys, successions })
    this.#options.log('info', 'cluster.key-followed', { own: own !== undefined })
    this.#client.renew()
  }

  /** A manager signs for itself. */
  #ownCertificates(
    clusterKey: Uint8Array,
  ): Pick<NodeIdentity, 'certificate' | 'manager'> | undefined {
    const [machine, ring, { nodeId: id, manager }] = [
      this.#half?.machine,
      this.#ring,
      this.#identity,
    ]
    const cluster = machine?.view.cluster()
    if (machine === undefined || ring === undefined || manager === undefined) return undefined
    if (cluster === undefined || !isEqual(cluster.key.publicKey, clusterKey)) return undefined
    const nowMs = this.#options.clock.nowMs()
    const sign = (role: CertificateRole, key: Uint8Array): Uint8Array =>
      certify(cluster, machine, { id, role, key, nowMs })
    return {
      certificate: sign('worker', this.#nodeKey.publicKey),
      manager: { ...manager, certificate: sign('manager', ring.managerKey.publicKey) },
    }
  }

  /** What a session has brought; a manager that has not heard of the new key yet brings nothing. */
  async #takeCertificate(certificate: Uint8Array | undefined): Promise<void> {
    const { clusterKey } = this.#identity
    if (this.#half !== undefined || isEqual(this.#trustedKey(), clusterKey)) return
    if (certificate !== undefined && isSignedBy(certificate, clusterKey)) {
      await this.#setIdentity({ ...this.#identity, certificate })
      this.#client.renew()
      return
    }
    this.#options.clock.after(certificateRetryMs, () => {
      if (!this.#closing.signal.aborted) this.#client.renew()
    })
  }

  /** A manager does not know us as what we said we are. */
  #takeRefusal(manager: NodeId, error: CodedError, isFinal: boolean): void {
    if (isFinal) return this.#expel(error.message)
    const isManager = this.#identity.manager !== undefined && this.#ring?.isLocked === false
    if (isManager && !this.#isDoubted) {
      // Demoted while it was away, perhaps: as the worker that it is then, it will hear of it.
      this.#isDoubted = true
      this.#options.log('warn', 'manager.doubted', { by: manager, reason: error.message })
      this.#reconnect()
      return
    }
    this.#refusers.add(manager)
    this.#trouble = error.message
    // One alone may be behind, or of another epoch.
    if (this.#refusers.size * 2 > this.#otherManagers().length) this.#expel(error.message)
  }

  #takeFate(fate: Fate): void {
    const { nodeId, manager } = this.#identity
    const member = manager?.memberId ?? nodeId
    const remedy =
      'demote the node and promote it again, or run "agent leave --force" here and join again'
    const why = {
      removed: `member ${member} was removed from the managers: ${remedy}`,
      outdated: `another start of member ${member} is known to the managers: its state folder was copied, or put back from an older copy, and it may have forgotten a promise; ${remedy}`,
      superseded:
        'the cluster was recovered without this manager: run "agent leave --force" here and join again',
    }[fate.type]
    this.#options.log('error', 'manager.stopped', { fate: fate.type, member, why })
    this.#change(async () => {
      if (this.#half === undefined) return
      await this.#closeManager(this.#half)
      if (!this.#isStillManager()) await this.#stepDown()
      else if (fate.type !== 'removed') this.#trouble = why
      this.#client.renew()
    })
  }

  #change(run: () => Promise<void>): void {
    this.#changing = this.#changing.then(run).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#options.onFatal(error)
    })
  }

  /** Promoted: makes keys, and tells them; the certificate for them comes with the next welcome. */
  async #makeRing(): Promise<void> {
    if (this.#ring !== undefined) return
    this.#ring = await KeyRing.make({ disk: realDisk, folder: this.#options.stateFolder })
    this.#client.renew()
  }

  async #becomeManager(certificate: Uint8Array): Promise<void> {
    const { nodeId, manager } = this.#identity
    const row = this.trust.member(nodeId)
    if (manager !== undefined || row?.role !== 'manager') return
    const memberId = memberIdOf(row)
    await this.#setIdentity({ ...this.#identity, manager: { certificate, memberId } })
    const epoch = present(this.#identity.epoch, 'the epoch of the cluster')
    await this.#openManager({ founding: joinState(epoch) })
    this.#reconnect()
    this.#options.log('info', 'manager.opened', { node: nodeId, member: memberId })
  }

  /** Demoted: the log, the keys and the rows of a manager go once raft has let this member go. */
  async #stepDown(): Promise<void> {
    const { log, stateFolder } = this.#options
    const half = this.#half
    if (half !== undefined) {
      await this.#awaitRelease(half)
      await half.handOver()
      await this.#closeManager(half)
    }
    await this.#ring?.remove()
    this.#ring = undefined
    this.#isCaughtUp = false
    this.#isDoubted = false
    this.#trouble = undefined
    const { manager: _manager, ...worker } = this.#identity
    await this.#setIdentity(worker)
    rmSync(join(stateFolder, 'raft'), { recursive: true, force: true })
    await forgetStarts(realDisk, stateFolder)
    this.#reconnect()
    log('info', 'manager.closed', { node: this.#identity.nodeId })
  }

  async #closeManager(half: ManagerHalf): Promise<void> {
    if (this.#half === half) this.#half = undefined
    this.#dropRows(half)
    await half.close()
  }

  async #setIdentity(identity: NodeIdentity): Promise<void> {
    await saveIdentity(this.#options.stateFolder, identity)
    this.#identity = identity
  }

  /** The cluster does not know this node: its tasks are elsewhere by now. */
  #expel(why: string): void {
    if (this.#expelled !== undefined) return
    this.#expelled = `${why}: run "agent leave --force" here, and join again`
    this.#options.log('error', 'node.expelled', { why: this.#expelled })
    const nothing = { tasks: [], removed: [], files: [], removedFiles: [] }
    this.#worker.assign({ isComplete: true, ...nothing })
  }

  /** We are somebody else to the others now: connections begin anew. */
  #reconnect(): void {
    const ids = [...this.peers.list().map(({ nodeId }) => nodeId), ...this.#otherManagers()]
    for (const nodeId of new Set(ids)) this.peers.disconnect(nodeId)
    this.#followTable()
    this.#client.renew()
  }

  /** True if the table has this node as the manager that it is. */
  #isStillManager(): boolean {
    const { nodeId, manager } = this.#identity
    const row = this.trust.member(nodeId)
    return row?.role === 'manager' && memberIdOf(row) === manager?.memberId
  }

  #otherManagers(): readonly NodeId[] {
    const ids = this.trust.managers().map(({ id }) => id)
    return ids.filter((id) => id !== this.#identity.nodeId)
  }

  #dropRows(half: ManagerHalf): void {
    for (const kind of Object.keys(half.handlers.messages)) delete this.#rows.messages[kind]
    for (const kind of Object.keys(half.handlers.requests)) delete this.#rows.requests[kind]
    for (const kind of Object.keys(half.handlers.streams)) delete this.#rows.streams[kind]
    const logs = this.#logs.managerHandlers
    for (const kind of Object.keys(logs.requests)) delete this.#rows.requests[kind]
    for (const kind of Object.keys(logs.streams)) delete this.#rows.streams[kind]
  }

  async #openManager(
    birth: { readonly founding?: Restored | undefined; readonly recovery?: Recovery } = {},
  ): Promise<ManagerHalf> {
    const { clock, log, stateFolder, onFatal } = this.#options
    const { nodeId, manager } = this.#identity
    const ring = present(this.#ring, "a manager's ring of keys")
    if (!this.#isListening) {
      await this.peers.listen(parseHostPort(this.#identity.listenAddress))
      this.#isListening = true
    }
    const half = await openManager({
      folder: stateFolder,
      nodeId,
      memberId: manager?.memberId ?? nodeId,
      dataKeys: ring.dataKeys,
      founding: birth.founding,
      recovery: birth.recovery,
      peers: this.peers,
      trust: this.trust,
      worker: this.#client,
      clock,
      log,
      onApplied: (applied) => this.#applied(applied),
      onFate: (fate) => this.#takeFate(fate),
      onFatal,
    })
    this.#half = half
    Object.assign(this.#rows.messages, half.handlers.messages)
    Object.assign(this.#rows.requests, half.handlers.requests)
    Object.assign(this.#rows.streams, half.handlers.streams)
    Object.assign(this.#rows.requests, this.#logs.managerHandlers.requests)
    Object.assign(this.#rows.streams, this.#logs.managerHandlers.streams)
    half.host.start()
    this.#publish()
    void this.#catchUp(half)
    return half
  }

  /** The log was read up to where the cluster is now: what it says of keys is not the past. */
  async #catchUp(half: ManagerHalf): Promise<void> {
    const { clock, onFatal } = this.#options
    while (this.#half === half && !this.#closing.signal.aborted) {
      try {
        await half.line.read()
        this.#isCaughtUp = true
        await this.followLock()
        return
      } catch (error) {
        if (!(error instanceof CodedError)) return onFatal(error)
        await clock.sleep(pollMs)
      }
    }
  }

  #applied(applied: readonly Applied[]): void {
    this.#options.onApplied(applied)
    const kinds = new Set(applied.map(({ before, after }) => (after ?? before)?.kind))
    if (kinds.has('node') || kinds.has('cluster')) this.#publish()
    if (this.#isCaughtUp && kinds.has('cluster')) void this.followLock()
  }

  #publish(): void {
    const machine = this.#half?.machine
    if (machine !== undefined) publishTable(machine, this.trust)
  }

  /** Containers may outlive a restart of the engine; after a while the node is as good as down. */
  #missEngine(reason: string): void {
    this.#cancelFault ??= this.#options.clock.after(engineMsMax, () => {
      this.#fault = `the container engine does not answer: ${reason}`
      this.#client.renew()
    })
  }

  #redescribe(): void {
    this.#cancelFault?.()
    this.#cancelFault = undefined
    this.#describing = this.#describing.then(() => this.#describe())
  }

  /** Asks the executor what this node is until it answers, and tells if that is news. */
  async #describe(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#closing
    for (let waitMs = 250; !signal.aborted; waitMs = Math.min(waitMs * 2, 5_000)) {
      try {
        const said = await this.executor.describe(signal)
        const known = this.#fault === undefined ? this.#description : undefined
        this.#fault = undefined
        this.#description = { ...said, runtime: this.executor.kind, agentVersion: version }
        if (!equal(known, this.#description)) this.#client.renew()
        return
      } catch (error) {
        if (signal.aborted) return
        log('warn', 'engine.unreachable', { error: String(error), waitMs })
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    }
  }
}

/** Where the logs of tasks are, and which of them are worth waiting for. */
function logTargets(
  ids: readonly TaskId[],
  view: () => View,
): Pick<LogRequest, 'tasks' | 'isAsked' | 'isAlive'> {
  const isKept = (id: TaskId): boolean => {
    const task = view().get('task', id)
    return task !== undefined && stateRank(task.desiredState) <= stateRank('running')
  }
  return {
    // Where a node was removed, nobody is left to be missed.
    tasks: ids.flatMap((id) => {
      const nodeId = view().get('task', id)?.nodeId
      const isKnown = nodeId !== undefined && view().get('node', nodeId) !== undefined
      return isKnown ? [{ id, nodeId }] : []
    }),
    isAsked: (nodeId, tasks) =>
      view().get('node', nodeId)?.status.state !== 'down' || tasks.some(isKept),
    isAlive: (tasks) => tasks.some(isKept),
  }
}

function isSignedBy(certificate: Uint8Array, key: Uint8Array): boolean {
  try {
    decodeCertificate(certificate, [key])
    return true
  } catch (error) {
    if (error instanceof CodedError) return false
    throw error
  }
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

/** Makes the folder that of a node of no cluster. */
export async function eraseState(folder: string): Promise<void> {
  for (const name of ['raft', 'manager.key', 'node.key', 'worker/assignments', 'worker/files']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
  await removeMembers(folder)
  await forgetStarts(realDisk, folder)
  await removeIdentity(folder)
}
