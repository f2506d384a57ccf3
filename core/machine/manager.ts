// Manager machine: Raft, the store, the controllers and the sessions of workers as one pure
// machine. Requests go in, log entries come out; what is committed goes into the store, and from
// there to clients as answers and to nodes as assignments.
//
//   submitted -> draft -> changes -> raft entry --.        (one entry for the command,
//                 controllers -> raft entry ------+         one for all that follows from it)
//                                                 v
//   persisted, received -> raft -> committed -> store -> answer, assign, applied
//
// A leader takes commands once everything before its own term is applied; what comes earlier
// waits. Commands see what was proposed before them, committed or not; readers never do.

import { assert, unreachable } from '../base/assert.ts'
import { CodedError } from '../base/error.ts'
import type { NodeId, ServiceId } from '../base/id.ts'
import { noLeader } from '../base/no-leader.ts'
import type { Note } from '../base/note.ts'
import type { Random } from '../base/random.ts'
import { estimateSize } from '../base/size.ts'
import { nsPerMs } from '../base/time.ts'
import type { Command, CommandAnswer } from '../command/command.ts'
import { runCommand } from '../command/run.ts'
import { runControllers } from '../control/pipeline.ts'
import { assignmentChanges, completeAssignments } from '../dispatch/assignments.ts'
import { changesOffline } from '../dispatch/files.ts'
import { Liveness } from '../dispatch/liveness.ts'
import { nextMemberStep } from '../dispatch/members.ts'
import type { Assignments } from '../dispatch/protocol.ts'
import { defaultClusterSpec } from '../object/defaults.ts'
import { isLeased } from '../object/lease.ts'
import type { NodeDescription } from '../object/node.ts'
import type { ClusterObject } from '../object/object.ts'
import { isEnded, type TaskReport } from '../object/task.ts'
import type {
  Entry,
  Fate,
  Message,
  Outgoing,
  Raft,
  RaftEvent,
  RaftUpdate,
  RoleState,
  Snapshot,
  SnapshotHead,
  StorageOperation,
} from '../raft/types.ts'
import type { Applied, Change } from '../store/change.ts'
import { Store } from '../store/store.ts'
import type { View } from '../store/view.ts'
import { dirtyServices } from './dirty.ts'

export type ManagerEvent =
  | { readonly type: 'started'; readonly nowMs: number }
  | { readonly type: 'ticked'; readonly nowMs: number; readonly ticks: number }
  | { readonly type: 'persisted'; readonly nowMs: number; readonly operation: number }
  | {
      readonly type: 'received'
      readonly nowMs: number
      readonly from: string
      readonly message: Message
    }
  | {
      readonly type: 'submitted'
      readonly nowMs: number
      readonly requestId: number
      readonly command: Command
    }
  | { readonly type: 'readRequested'; readonly nowMs: number; readonly requestId: number }
  | {
      readonly type: 'sessionOpened'
      readonly nowMs: number
      readonly nodeId: NodeId
      /** One start of the node's agent. */
      readonly incarnation: string
      /** The worker of this very process: it needs no heartbeats. */
      readonly isLocal: boolean
      readonly description: NodeDescription
      readonly address: string
      /** What its tasks are now: it may have a task that was given up for lost. */
      readonly reports: readonly TaskReport[]
      /** The cluster's key that its certificate is signed with. */
      readonly trustedKey?: Uint8Array
      /** Why it can run nothing at present. */
      readonly fault?: string
      /** When that was, by the node's own clock; absent for one that shares ours. */
      readonly sentAtMs?: number
      readonly manager?: { readonly key: Uint8Array; readonly address: string }
    }
  /** A heartbeat, or anything else, came over the node's session. */
  | { readonly type: 'heard'; readonly nowMs: number; readonly nodeId: NodeId }
  /** A connection that breaks is no verdict: the node may be back before its grace is over. */
  | {
      readonly type: 'sessionClosed'
      readonly nowMs: number
      readonly nodeId: NodeId
      readonly isLeaving: boolean
    }
  | {
      readonly type: 'reported'
      readonly nowMs: number
      readonly nodeId: NodeId
      readonly reports: readonly TaskReport[]
      readonly sentAtMs?: number
    }
  | { readonly type: 'snapshotSaved'; readonly nowMs: number; readonly snapshot: Snapshot }
  /** This leader is about to stop: another one is to lead before it does. */
  | { readonly type: 'transferRequested'; readonly nowMs: number }
  /** It could not be written; nothing of it is left. */
  | { readonly type: 'snapshotFailed'; readonly nowMs: number }
  /** What `readSnapshot` asked for. */
  | {
      readonly type: 'snapshotRead'
      readonly nowMs: number
      readonly snapshotId: string
      readonly objects: readonly ClusterObject[]
    }
  | { readonly type: 'diskFull'; readonly nowMs: number }
  | { readonly type: 'diskFreed'; readonly nowMs: number }

export type ManagerEffect =
  | { readonly type: 'save'; readonly operation: StorageOperation }
  | { readonly type: 'send'; readonly outgoing: Outgoing }
  | { readonly type: 'answer'; readonly requestId: number; readonly answer: CommandAnswer }
  | { readonly type: 'refuse'; readonly requestId: number; readonly error: CodedError }
  /** The committed view now holds all that the read must see. */
  | { readonly type: 'readReady'; readonly requestId: number }
  | { readonly type: 'assign'; readonly nodeId: NodeId; readonly assignments: Assignments }
  /** The node was called down, or unknown: it has to open a new session to be ready again. */
  | { readonly type: 'endSession'; readonly nodeId: NodeId }
  | { readonly type: 'applied'; readonly applied: readonly Applied[] }
  /** Write these objects aside under this head, then say `snapshotSaved`. */
  | {
      readonly type: 'takeSnapshot'
      readonly head: SnapshotHead
      readonly objects: readonly ClusterObject[]
    }
  /** Read this snapshot once the `save` before it is durable, then say `snapshotRead`. */
  | { readonly type: 'readSnapshot'; readonly snapshot: Snapshot }
  | { readonly type: 'role'; readonly role: RoleState }
  /** Raft has stopped, or should be: this member has no place in the cluster any more. */
  | { readonly type: 'fate'; readonly fate: Fate }
  | { readonly type: 'note'; readonly note: Note }

/** What an entry of the log says: the time of its making and its changes. */
export interface EntryData {
  readonly atMs: number
  readonly changes: readonly Change[]
}

interface Waiting {
  readonly requestId: number
  readonly term: number
  readonly answer: CommandAnswer
}

/** Commands that may wait for a new leader to be ready. */
const queuedMax = 1_000
/** Passes of the controllers in one step: each but the first was asked for by one before it. */
const passesMax = 8
/** How soon a refused change of membership is tried again. */
const membersRetryMs = 200
/** Clocks that differ by less are taken for one. */
const skewMsMin = 2_000
/** A follower that answered no heartbeat for so long is called unreachable. */
const reachableTicks = 20

export class ManagerMachine {
  readonly #raft: Raft
  readonly #random: Random
  readonly #store = new Store()
  /** Answers that wait for their entry to be committed, by its index. */
  readonly #waiting = new Map<number, Waiting>()
  readonly #reads = new Map<number, number>()
  readonly #queued: { readonly requestId: number; readonly command: Command }[] = []
  readonly #sessions = new Set<NodeId>()
  readonly #wakes = new Map<ServiceId, number>()
  readonly #liveness: Liveness
  #judgeAtMs: number | undefined
  /** When to try the next change of Raft's membership again. */
  #membersAtMs: number | undefined
  /** Raft's membership is left alone until the store has come so far. */
  #membersFromIndex = 0
  readonly #isRecoveryForced: boolean
  #readyAtIndex: number | undefined
  #isReady = false
  #snapshotIndex: number
  #isSnapshotting = false
  #isDiskFull = false
  /** After a snapshot that failed: not before this index again. */
  #snapshotIndexMin = 0
  /** A leader's snapshot that is being read, and what was committed behind it meanwhile. */
  #restoring: Snapshot | undefined
  #held: Entry[] = []
  #raftWakeTicks: number | undefined
  /** Ticks that passed and that raft was not told of yet. */
  #elapsedTicks = 0
  /** How far the cluster's time is ahead of this host's: it never goes back, whoever leads. */
  #aheadMs = 0
  #nowMs = 0
  #effects: ManagerEffect[] = []

  constructor(options: {
    readonly raft: Raft
    readonly random: Random
    /** What the newest snapshot holds, and its index. */
    readonly snapshot?: { readonly index: number; readonly objects: readonly ClusterObject[] }
    /** A new epoch may take nodes that have followed another one. */
    readonly isRecoveryForced?: boolean
  }) {
    this.#raft = options.raft
    this.#random = options.random
    this.#isRecoveryForced = options.isRecoveryForced ?? false
    this.#liveness = new Liveness({
      heartbeatMs: () =>
        (this.#store.committed.cluster() ?? { spec: defaultClusterSpec }).spec.dispatcher
          .heartbeatPeriodNs / nsPerMs,
    })
    this.#snapshotIndex = options.snapshot?.index ?? 0
    if (options.snapshot !== undefined) {
      this.#store.restore(options.snapshot.index, options.snapshot.objects)
    }
  }

  /** What is committed, on this manager; see `readRequested` for a view that is up to date. */
  get view(): View {
    return this.#store.committed
  }

  get raft(): Raft {
    return this.#raft
  }

  /** Index of the last entry that `view` holds. */
  get appliedIndex(): number {
    return this.#store.appliedIndex
  }

  /** True once this manager leads and takes commands. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** When a controller wants to be woken; undefined: not by time. */
  get wakeAtMs(): number | undefined {
    const times = [...this.#wakes.values()]
    if (this.#judgeAtMs !== undefined) times.push(this.#judgeAtMs)
    if (this.#membersAtMs !== undefined) times.push(this.#membersAtMs)
    return times.length === 0 ? undefined : Math.min(...times) - this.#aheadMs
  }

  /** After how many ticks raft wants to be woken; undefined: never. */
  get wakeTicks(): number | undefined {
    if (this.#raftWakeTicks === undefined) return undefined
    return Math.max(0, this.#raftWakeTicks - this.#elapsedTicks)
  }

  /**
   * `elapsedTicks` passed since the step before, for an event other than `ticked`: else raft would
   * take a heartbeat that comes between two ticks for one that came with the earlier.
   */
  step(event: ManagerEvent, elapsedTicks = 0): readonly ManagerEffect[] {
    this.#effects = []
    this.#elapsedTicks += elapsedTicks
    this.#setTime(event.nowMs + this.#aheadMs)
    this.#take(this.#aheadMs === 0 ? event : { ...event, nowMs: this.#nowMs })
    if (this.#isReady) {
      this.#judge(this.#nowMs)
      this.#runDue(this.#nowMs)
      this.#reconcileMembers(this.#nowMs)
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** A clock that was put back is not followed. */
  #setTime(nowMs: number): void {
    if (nowMs < this.#nowMs) this.#aheadMs += this.#nowMs - nowMs
    this.#nowMs = Math.max(nowMs, this.#nowMs)
  }

  /**
   * What the objects say was by the clocks of other leaders: one that is years behind them would
   * wait for years, so it goes on from the newest time that it finds.
   */
  #goOnFrom(newestMs: number): void {
    if (newestMs <= this.#nowMs) return
    this.#aheadMs += newestMs - this.#nowMs
    this.#nowMs = newestMs
  }

  #take(event: ManagerEvent): void {
    const { nowMs } = event
    switch (event.type) {
      case 'started':
        return this.#follow(this.#stepRaft({ type: 'started' }))
      case 'ticked':
        return this.#follow(this.#stepRaft({ type: 'ticked', ticks: event.ticks }))
      case 'persisted':
        return this.#follow(this.#stepRaft({ type: 'persisted', operation: event.operation }))
      case 'received':
        return this.#follow(
          this.#stepRaft({ type: 'received', from: event.from, message: event.message }),
        )
      case 'submitted':
        return this.#submit(event.requestId, event.command, nowMs)
      case 'readRequested':
        return this.#follow(this.#stepRaft({ type: 'readRequested', context: event.requestId }))
      case 'sessionOpened':
        return this.#openSession(event)
      case 'heard':
        this.#liveness.hear(event.nodeId, nowMs)
        return
      case 'sessionClosed':
        this.#sessions.delete(event.nodeId)
        if (event.isLeaving) this.#markLeft(event.nodeId, nowMs)
        return
      case 'reported':
        this.#liveness.hear(event.nodeId, nowMs)
        return this.#runOwn(
          { type: 'tasks.report', nodeId: event.nodeId, reports: inOurTime(event, nowMs) },
          nowMs,
        )
      case 'snapshotSaved':
        this.#isSnapshotting = false
        this.#snapshotIndex = Math.max(this.#snapshotIndex, event.snapshot.index)
        return this.#follow(this.#stepRaft({ type: 'snapshotTaken', snapshot: event.snapshot }))
      case 'transferRequested':
        return this.#follow(this.#stepRaft({ type: 'transferRequested' }))
      case 'snapshotFailed':
        this.#isSnapshotting = false
        this.#snapshotIndexMin = this.#store.appliedIndex + Math.ceil(this.#snapshotInterval / 10)
        return
      case 'snapshotRead':
        return this.#restore(event.snapshotId, event.objects)
      case 'diskFull':
      case 'diskFreed':
        this.#isDiskFull = event.type === 'diskFull'
        return this.#follow(this.#stepRaft({ type: event.type }))
      default:
        return unreachable(event)
    }
  }

  #submit(requestId: number, command: Command, nowMs: number): void {
    if (this.#isReady) return this.#run(requestId, command, nowMs)
    if (this.#raft.role === 'leader' && this.#queued.length < queuedMax) {
      this.#queued.push({ requestId, command })
      return
    }
    this.#effects.push({ type: 'refuse', requestId, error: noLeader({ isUntried: true }) })
  }

  /** Runs a command of nobody's: what the manager itself has to write. A refusal is only noted. */
  #runOwn(command: Command, nowMs: number): void {
    if (this.#isReady) this.#run(undefined, command, nowMs)
  }

  #run(requestId: number | undefined, command: Command, nowMs: number): void {
    try {
      const draft = this.#store.draft({ index: this.#raft.lastIndex + 1, nowMs })
      const answer = runCommand(draft, command, {
        random: this.#random,
        hasQuorumWithout: (id) => this.#hasQuorumWithout(id),
      })
      const changes = draft.changes()
      if (changes.length === 0) {
        if (requestId !== undefined) this.#effects.push({ type: 'answer', requestId, answer })
        return
      }
      const placed = this.#propose(changes, nowMs)
      if (requestId !== undefined) {
        this.#waiting.set(placed.index, { requestId, term: placed.term, answer })
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      if (requestId === undefined) {
        this.#note('warn', 'command.refused', { command: command.type, error: error.message })
      } else this.#effects.push({ type: 'refuse', requestId, error })
    }
  }

  /** Appends one entry; its changes are the newest view from here on. Throws if raft refuses. */
  #propose(changes: readonly Change[], nowMs: number): { index: number; term: number } {
    const data: EntryData = { atMs: nowMs, changes }
    const index = this.#raft.lastIndex + 1
    const update = this.#stepRaft({
      type: 'proposed',
      entries: [{ data, sizeBytes: estimateSize(data) }],
    })
    const refusal = update.refused.find((each) => each.what === 'proposal')
    if (refusal !== undefined) {
      this.#follow({ ...update, refused: [] })
      const isLeaving = refusal.reason === 'not-leader' || refusal.reason === 'transferring'
      // Leadership is going because of the disk: if nobody takes it, that is what is to be mended.
      if (isLeaving && this.#isDiskFull) {
        const text = `the disk of manager ${this.#raft.id} is full, and no other one leads yet: free space`
        throw new CodedError('disk-full', text, { detail: { isUntried: true } })
      }
      throw isLeaving
        ? noLeader({ isUntried: true })
        : new CodedError(
            refusal.reason === 'disk-full' ? 'disk-full' : 'resource-exhausted',
            refusal.text,
          )
    }
    assert(update.accepted[0]?.index === index, 'a proposal takes the next index')
    for (const id of dirtyServices(this.#store.newest, changes)) this.#wake(id, nowMs)
    this.#store.propose(index, changes)
    this.#follow(update)
    return update.accepted[0]
  }

  #wake(service: ServiceId, atMs: number): void {
    this.#wakes.set(service, Math.min(atMs, this.#wakes.get(service) ?? Infinity))
  }

  /** Runs the controllers on the services whose time has come, until none asks for more. */
  #runDue(nowMs: number): void {
    for (let pass = 0; pass < passesMax && this.#isReady; pass++) {
      const due = [...this.#wakes].filter(([, atMs]) => atMs <= nowMs).map(([id]) => id)
      if (due.length === 0) return
      for (const id of due) this.#wakes.delete(id)
      const draft = this.#store.draft({ index: this.#raft.lastIndex + 1, nowMs })
      const later = new Map<ServiceId, number>()
      runControllers(draft, {
        services: due,
        random: this.#random,
        wake: (id, atMs) => later.set(id, Math.min(atMs, later.get(id) ?? Infinity)),
      })
      const changes = draft.changes()
      if (changes.length > 0) this.#proposeOwn(changes, nowMs, due)
      // What the controllers wrote is not looked at again by itself, only at the times they named.
      for (const id of due) this.#wakes.delete(id)
      for (const [id, atMs] of later) this.#wake(id, atMs)
    }
  }

  #proposeOwn(changes: readonly Change[], nowMs: number, due: readonly ServiceId[]): void {
    try {
      this.#propose(changes, nowMs)
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      // The log is full or leadership is going: these services are looked at again.
      for (const id of due) this.#wake(id, nowMs + 100)
      this.#note('warn', 'controllers.refused', { error: error.message })
    }
  }

  #stepRaft(event: RaftEvent): RaftUpdate {
    const elapsedTicks = this.#elapsedTicks
    this.#elapsedTicks = 0
    return this.#raft.step(event, elapsedTicks)
  }

  /** Carries out what raft says. */
  #follow(update: RaftUpdate): void {
    if (update.save !== undefined) this.#effects.push({ type: 'save', operation: update.save })
    for (const outgoing of update.send) this.#effects.push({ type: 'send', outgoing })
    this.#raftWakeTicks = update.wakeTicks
    if (update.role !== undefined) this.#changeRole(update.role)
    if (update.fate !== undefined) this.#effects.push({ type: 'fate', fate: update.fate })
    if (update.restore !== undefined) {
      this.#restoring = update.restore
      this.#held = []
      this.#effects.push({ type: 'readSnapshot', snapshot: update.restore })
    }
    if (this.#restoring !== undefined) this.#held.push(...update.committed)
    else if (update.committed.length > 0) this.#apply(update.committed)
    for (const read of update.reads) this.#reads.set(read.context, read.index)
    this.#serveReads()
    for (const refusal of update.refused) {
      if (refusal.what === 'read' && refusal.context !== undefined) {
        const error = noLeader({ isUntried: true })
        this.#effects.push({ type: 'refuse', requestId: refusal.context, error })
      }
    }
    for (const note of update.notes) this.#effects.push({ type: 'note', note })
    this.#considerReady()
  }

  #considerReady(): void {
    if (this.#readyAtIndex !== undefined && this.#store.appliedIndex >= this.#readyAtIndex) {
      this.#becomeReady()
    }
  }

  /** The objects of a leader's snapshot take the place of all that was here. */
  #restore(snapshotId: string, objects: readonly ClusterObject[]): void {
    // A newer snapshot came while this one was read.
    if (this.#restoring?.id !== snapshotId) return
    const { index } = this.#restoring
    assert(index > this.#store.appliedIndex, 'a snapshot never takes the store back')
    const applied = this.#store.restore(index, objects)
    this.#snapshotIndex = index
    this.#restoring = undefined
    for (const [at, { requestId }] of this.#waiting) {
      if (at > index) continue
      // Done or not, the snapshot does not tell.
      this.#waiting.delete(at)
      this.#effects.push({ type: 'refuse', requestId, error: noLeader() })
    }
    if (applied.length > 0) this.#effects.push({ type: 'applied', applied })
    const held = this.#held
    this.#held = []
    if (held.length > 0) this.#apply(held)
    this.#serveReads()
    this.#considerReady()
  }

  #changeRole(role: RoleState): void {
    this.#effects.push({ type: 'role', role })
    if (role.role === 'leader') {
      // The no-op of the new term is the last entry now: ready once it is applied.
      this.#readyAtIndex = this.#raft.lastIndex
      return
    }
    this.#readyAtIndex = undefined
    if (!this.#isReady && this.#queued.length === 0) return
    this.#isReady = false
    this.#store.dropProposed()
    this.#wakes.clear()
    this.#sessions.clear()
    this.#judgeAtMs = undefined
    this.#membersAtMs = undefined
    // What is in the log may yet be committed: who waits for it is answered when its index is.
    for (const { requestId } of this.#queued) {
      this.#effects.push({ type: 'refuse', requestId, error: noLeader({ isUntried: true }) })
    }
    this.#queued.length = 0
  }

  #becomeReady(): void {
    this.#readyAtIndex = undefined
    this.#isReady = true
    this.#goOnFrom(this.#newestMs())
    const nowMs = this.#nowMs
    this.#considerRecovery(nowMs)
    const watched = this.#store.newest
      .all('node')
      .filter((node) => node.status.state === 'ready' || node.status.state === 'unknown')
      .filter((node) => node.memberId !== this.#raft.id)
    this.#liveness.begin(
      watched.map((node) => node.id),
      nowMs,
    )
    for (const service of this.#store.newest.all('service')) this.#wake(service.id, nowMs)
    // Tasks whose service is gone are still to be reaped.
    for (const task of this.#store.newest.all('task')) this.#wake(task.serviceId, nowMs)
    this.#restartLeases(nowMs)
    for (const { requestId, command } of this.#queued.splice(0)) {
      this.#run(requestId, command, nowMs)
    }
  }

  /** By this leader's clock: another's may be years off. */
  #restartLeases(nowMs: number): void {
    for (const { id, status } of this.#store.newest.all('node')) {
      if (status.state !== 'down' || status.downAtMs === undefined) continue
      const tasks = this.#store.newest.tasksOfNode(id)
      if (!tasks.some((task) => isLeased(task) && !isEnded(task.status.state))) continue
      const { message = '' } = status
      this.#runOwn({ type: 'node.state', id, state: 'down', message }, nowMs)
    }
  }

  /** The newest time that any object bears. */
  #newestMs(): number {
    let newestMs = 0
    for (const kind of ['cluster', 'node', 'service', 'task', 'secret', 'config'] as const) {
      for (const { updatedAtMs } of this.#store.newest.all(kind)) {
        newestMs = Math.max(newestMs, updatedAtMs)
      }
    }
    return newestMs
  }

  /**
   * The first thing in a new epoch: the others that were managers are none any more. It is read from
   * the state, not told, so that a crash between the two does no harm.
   */
  #considerRecovery(nowMs: number): void {
    const { id: memberId, epoch } = this.#raft
    const cluster = this.#store.newest.cluster()
    if (cluster === undefined || epoch.counter <= (cluster.epoch?.counter ?? 1)) return
    const mark = { counter: epoch.counter, isForced: this.#isRecoveryForced }
    this.#runOwn({ type: 'cluster.recover', epoch: mark, memberId }, nowMs)
    this.#membersFromIndex = this.#raft.lastIndex
    this.#note('warn', 'cluster.recovered', { epoch: epoch.counter, manager: memberId })
  }

  #apply(entries: readonly Entry[]): void {
    const all: Applied[] = []
    for (const entry of entries) {
      const changes = entry.type === 'normal' ? (entry.data as EntryData).changes : []
      all.push(...this.#store.apply(entry.index, changes))
      this.#answer(entry)
    }
    if (all.length > 0) {
      this.#effects.push({ type: 'applied', applied: all })
      if (changesOffline(all)) return this.#assignAnew()
      const listening = (id: NodeId): boolean => this.#sessions.has(id)
      for (const [nodeId, assignments] of assignmentChanges(
        this.#store.committed,
        all,
        listening,
      )) {
        this.#effects.push({ type: 'assign', nodeId, assignments })
      }
    }
    this.#considerSnapshot()
  }

  /** Rarely: something has changed that differences do not tell. */
  #assignAnew(): void {
    for (const nodeId of this.#sessions) {
      const assignments = completeAssignments(this.#store.committed, nodeId)
      this.#effects.push({ type: 'assign', nodeId, assignments })
    }
    this.#considerSnapshot()
  }

  #answer(entry: Entry): void {
    const waiting = this.#waiting.get(entry.index)
    if (waiting === undefined) return
    this.#waiting.delete(entry.index)
    const { requestId, answer } = waiting
    if (waiting.term === entry.term) this.#effects.push({ type: 'answer', requestId, answer })
    // Another entry stands in its place: it was not done, and never will be.
    else this.#effects.push({ type: 'refuse', requestId, error: noLeader({ isUntried: true }) })
  }

  #serveReads(): void {
    for (const [requestId, index] of this.#reads) {
      if (index > this.#store.appliedIndex) continue
      this.#reads.delete(requestId)
      this.#effects.push({ type: 'readReady', requestId })
    }
  }

  #considerSnapshot(): void {
    const index = this.#store.appliedIndex
    if (this.#isSnapshotting || index < this.#snapshotIndexMin) return
    if (index - this.#snapshotIndex < this.#snapshotInterval) return
    this.#isSnapshotting = true
    this.#effects.push({
      type: 'takeSnapshot',
      head: this.#raft.snapshotHead(index),
      objects: this.#store.dump(),
    })
  }

  get #snapshotInterval(): number {
    return this.#store.committed.cluster()?.spec.raft.snapshotInterval ?? 10_000
  }

  #openSession(event: Extract<ManagerEvent, { type: 'sessionOpened' }>): void {
    const { nodeId, incarnation, isLocal, description, address, manager, nowMs } = event
    const { trustedKey } = event
    if (!this.#isReady || this.#store.newest.get('node', nodeId) === undefined) return
    this.#sessions.add(nodeId)
    if (isLocal) this.#liveness.forget(nodeId)
    else this.#liveness.open(nodeId, incarnation, nowMs)
    this.#effects.push({
      type: 'assign',
      nodeId,
      assignments: completeAssignments(this.#store.committed, nodeId),
    })
    const reports = inOurTime(event, nowMs)
    if (reports.length > 0) this.#runOwn({ type: 'tasks.report', nodeId, reports }, nowMs)
    this.#runOwn(
      {
        ...{ type: 'node.describe', id: nodeId, description, address },
        ...(event.fault === undefined ? {} : { fault: event.fault }),
        ...(trustedKey === undefined ? {} : { trustedKey }),
        ...(manager === undefined ? {} : { manager }),
      },
      nowMs,
    )
  }

  /** Calls nodes down, or unknown, that were not heard of for too long. */
  #judge(nowMs: number): void {
    for (const { nodeId, state, silentMs } of this.#liveness.judge(nowMs)) {
      this.#note('warn', 'node.silent', { node: nodeId, state, silentMs })
      this.#sessions.delete(nodeId)
      this.#effects.push({ type: 'endSession', nodeId })
      const message = state === 'down' ? 'heartbeat failure' : 'heartbeat failure of many nodes'
      this.#runOwn({ type: 'node.state', id: nodeId, state, message }, nowMs)
    }
    this.#judgeAtMs = this.#liveness.wakeAtMs(nowMs)
  }

  /** It said good-bye: there is no grace to wait for. */
  #markLeft(nodeId: NodeId, nowMs: number): void {
    this.#liveness.forget(nodeId)
    this.#runOwn({ type: 'node.state', id: nodeId, state: 'down', message: 'node left' }, nowMs)
  }

  /** Brings Raft's membership one step nearer to the nodes' roles. */
  #reconcileMembers(nowMs: number): void {
    if (this.#membersAtMs !== undefined && nowMs < this.#membersAtMs) return
    this.#membersAtMs = undefined
    if (this.#store.appliedIndex < this.#membersFromIndex) return
    const { membership, committedMembership: committed, id: leaderId } = this.#raft
    const step = nextMemberStep(this.#store.committed, { membership, committed, leaderId })
    if (step === undefined) return
    this.#membersAtMs = nowMs + membersRetryMs
    switch (step.type) {
      case 'retire':
        return this.#runOwn({ type: 'node.retire', id: step.id, memberId: step.memberId }, nowMs)
      case 'transfer':
        return this.#follow(this.#stepRaft({ type: 'transferRequested' }))
      case 'change':
        return this.#follow(this.#stepRaft({ type: 'membershipProposed', change: step.change }))
      default:
        return unreachable(step)
    }
  }

  /** True if enough managers are heard of for a quorum of what remains without this one. */
  #hasQuorumWithout(id: NodeId): boolean {
    const memberId = this.#store.newest.get('node', id)?.memberId
    const voters = this.#raft.membership.members.filter((member) => member.isVoter)
    const left = voters.filter((member) => member.id !== memberId)
    const reachable = left.filter((member) => this.isReachable(member.id))
    return left.length > 0 && reachable.length >= Math.floor(left.length / 2) + 1
  }

  /** True for this manager, and for one that has answered lately; only a leader can tell. */
  isReachable(id: string): boolean {
    if (id === this.#raft.id) return true
    const follower = this.#raft.followers.find((each) => each.id === id)
    return follower !== undefined && follower.heardTicksAgo <= reachableTicks
  }

  /**
   * True if this leader has heard of a quorum so lately that there can be no other leader yet: what
   * it grants until then is granted by the cluster.
   */
  get isQuorate(): boolean {
    if (!this.#isReady) return false
    const { id, membership, followers, electionTicksMin } = this.#raft
    const voters = membership.members.filter((member) => member.isVoter)
    const heard = voters.filter((voter) => {
      const follower = followers.find((each) => each.id === voter.id)
      return (
        voter.id === id || (follower !== undefined && follower.heardTicksAgo < electionTicksMin)
      )
    })
    return heard.length > voters.length / 2
  }

  #note(level: Note['level'], event: string, fields: Note['fields']): void {
    this.#effects.push({ type: 'note', note: { level, event, fields } })
  }
}

/** The times of reports as the cluster's clock has them. A second of difference is none. */
function inOurTime(
  said: { readonly reports: readonly TaskReport[]; readonly sentAtMs?: number },
  nowMs: number,
): readonly TaskReport[] {
  const { reports, sentAtMs } = said
  const aheadMs = sentAtMs === undefined ? 0 : nowMs - sentAtMs
  if (Math.abs(aheadMs) < skewMsMin) return reports
  return reports.map(({ id, status }) => {
    const { atMs, runningSinceMs } = status
    const since = runningSinceMs === undefined ? {} : { runningSinceMs: runningSinceMs + aheadMs }
    return { id, status: { ...status, atMs: atMs + aheadMs, ...since } }
  })
}
