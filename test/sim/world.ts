// A simulated cluster: members on virtual time, with their network, disks, clocks and clients.
//
// Every member runs the very machine of core/raft. This file is the host of all of them: it posts
// letters, syncs disks, applies entries to a small key-value store, takes snapshots, and lets the
// checkers see every step.

import { numberedRandom } from '../../core/base/random.ts'
import { bootstrapState, joinState } from '../../core/raft/birth.ts'
import { createRaft } from '../../core/raft/raft.ts'
import type {
  Append,
  Entry,
  Epoch,
  MemberId,
  Membership,
  Message,
  Raft,
  RaftEvent,
  RaftUpdate,
  Restored,
  Snapshot,
} from '../../core/raft/types.ts'
import { type Checkers, checkCommitted, checkLeader, fail, makeCheckers } from './checkers.ts'
import { failRead, retry } from './clients.ts'
import { applyOperation, type Disk, holds, makeDisk, restore } from './disk.ts'
import type { Operation } from './history.ts'
import { loadStore, post, scheduleWork, startSave } from './host.ts'
import { makeDice, type Noise, type Plan } from './plan.ts'
import { makeQueue, type Queue } from './queue.ts'

/** What a write puts into the log. */
export interface Write {
  readonly key: number
  readonly value: string
}

type Work =
  | { readonly type: 'restore'; readonly snapshot: Snapshot; readonly text: string }
  | { readonly type: 'entry'; readonly entry: Entry }
  | { readonly type: 'read'; readonly context: number; readonly index: number }

/** One process and its disk. Everything from `raft` on is lost in a crash. */
export interface Node {
  readonly id: MemberId
  readonly number: number
  readonly disk: Disk
  checkers: Checkers
  /** Its disk was wiped, rewound or damaged: it must never count again. */
  isLost: boolean
  isStopped: boolean
  raft: Raft | undefined
  /** Counts starts, so that the events of an earlier one are known. */
  generation: number
  pausedUntilMs: number
  clock: { startMs: number; startTicks: number; rate: number }
  ticks: number
  wakeAtMs: number
  wakeScheduledMs: number
  store: Map<number, string>
  hash: number
  applied: number
  appliedTerm: number
  work: Work[]
  isWorkScheduled: boolean
  waiting: Map<number, { readonly term: number; readonly client: number; readonly attempt: number }>
  reads: Map<number, { readonly client: number; readonly attempt: number }>
  snapshots: Map<string, string>
  staging: { id: string; text: string } | undefined
  snapshotAt: number
  isDiskFullTold: boolean
}

/** A client does one thing after another, and asks again with the same request id. */
export interface Client {
  readonly number: number
  operation:
    | {
        readonly kind: 'read' | 'write'
        readonly key: number
        readonly value: string
        readonly beginMs: number
        readonly floor: number
        attempt: number
        /** The attempt that is out; a higher `attempt` means that it is given up. */
        sent: number
        tries: number
      }
    | undefined
  count: number
  guess: number
  /** When the attempt at work is given up; one timer is set at a time. */
  deadlineMs: number
  timerMs: number
}

export interface Happening {
  readonly kind: 'message' | 'wake' | 'synced' | 'work' | 'client' | 'timeout' | 'start' | 'call'
  readonly node: number
  readonly generation: number
  readonly from: number
  readonly message: Message | undefined
  readonly call: (() => void) | undefined
}

export interface World {
  readonly plan: Plan
  readonly dice: ReturnType<typeof makeDice>
  readonly random: ReturnType<typeof numberedRandom>
  readonly queue: Queue<Happening>
  readonly nodes: Node[]
  readonly numberOf: Map<MemberId, number>
  readonly clients: Client[]
  readonly history: Operation[][]
  readonly counts: Map<string, number>
  /** Called at each named event: state-triggered faults listen here. */
  onEvent: (event: string, node: number) => void
  /** Kinds of messages whose sending is an event. */
  watchedPosts: Set<string>
  trace: ((line: string) => void) | undefined
  /** Of the present epoch. */
  checkers: Checkers
  epoch: Epoch
  now: number
  noise: Noise
  cutUntil: Float64Array
  anyCutUntilMs: number
  steps: number
  contexts: number
  isHealed: boolean
  areClientsPaused: boolean
  acked: number
  /** Cut off for good, by the plan. */
  cutOff: Node | undefined
}

const nodesMax = 24

export function makeWorld(plan: Plan): World {
  const random = numberedRandom(plan.seed * 7919 + 17)
  const world: World = {
    plan,
    dice: makeDice(random),
    random,
    queue: makeQueue<Happening>(),
    nodes: [],
    numberOf: new Map(),
    clients: [],
    history: Array.from({ length: plan.keys }, () => []),
    counts: new Map(),
    onEvent: () => undefined,
    watchedPosts: new Set(),
    trace: undefined,
    checkers: makeCheckers(),
    epoch: { counter: 1, id: 'e1', parent: undefined },
    now: 0,
    noise: plan.noise,
    cutUntil: new Float64Array(nodesMax * nodesMax),
    anyCutUntilMs: 0,
    steps: 0,
    contexts: 0,
    isHealed: false,
    areClientsPaused: false,
    acked: 0,
    cutOff: undefined,
  }
  const ids = Array.from({ length: plan.size }, (_, at) => `n${at}`)
  const members = ids.map((id) => ({ id, address: `${id}:1`, isVoter: true }))
  const founding = { membership: { members, removed: [] }, epoch: world.epoch }
  const restored = bootstrapState(founding)
  for (const id of ids) addNode(world, id, restored)
  for (let number = 0; number < plan.clients; number++) {
    world.clients.push({
      number,
      operation: undefined,
      count: 0,
      guess: 0,
      deadlineMs: 0,
      timerMs: 0,
    })
    schedule(world, { kind: 'client', at: world.dice.whole(0, 500), node: number })
  }
  return world
}

export function schedule(
  world: World,
  happening: Pick<Happening, 'kind' | 'node'> & Partial<Happening> & { readonly at: number },
): void {
  const { kind, at, node } = happening
  world.queue.push(at, {
    kind,
    node,
    generation: happening.generation ?? 0,
    from: happening.from ?? 0,
    message: happening.message,
    call: happening.call,
  })
}

export function count(world: World, event: string, node: number): void {
  world.counts.set(event, (world.counts.get(event) ?? 0) + 1)
  world.onEvent(event, node)
}

export function addNode(world: World, id: MemberId, restored: Restored): Node {
  const node: Node = {
    id,
    number: world.nodes.length,
    disk: makeDisk(restored),
    checkers: world.checkers,
    isLost: false,
    isStopped: false,
    raft: undefined,
    generation: 0,
    pausedUntilMs: 0,
    clock: { startMs: 0, startTicks: 0, rate: world.plan.rates[world.nodes.length % 8] ?? 1 },
    ticks: 0,
    wakeAtMs: Number.POSITIVE_INFINITY,
    wakeScheduledMs: Number.POSITIVE_INFINITY,
    store: new Map(),
    hash: 0,
    applied: 0,
    appliedTerm: 0,
    work: [],
    isWorkScheduled: false,
    waiting: new Map(),
    reads: new Map(),
    snapshots: new Map(),
    staging: undefined,
    snapshotAt: 0,
    isDiskFullTold: false,
  }
  world.nodes.push(node)
  world.numberOf.set(id, node.number)
  startNode(world, node)
  return node
}

/** A member that joins: it knows the epoch and nothing else. */
export function addJoiner(world: World): Node | undefined {
  if (world.nodes.length >= nodesMax) return undefined
  return addNode(world, `n${world.nodes.length}`, joinState(world.epoch))
}

export function startNode(world: World, node: Node): void {
  if (node.raft !== undefined || node.isStopped) return
  const { plan } = world
  const { heartbeatTicks, electionTicks, limits } = plan
  const { random } = world
  node.generation++
  node.clock = { ...node.clock, startMs: world.now, startTicks: 0 }
  node.ticks = 0
  node.wakeAtMs = Number.POSITIVE_INFINITY
  node.wakeScheduledMs = Number.POSITIVE_INFINITY
  node.store = new Map()
  node.hash = 0
  node.applied = 0
  node.appliedTerm = 0
  node.work = []
  node.isWorkScheduled = false
  node.snapshots = new Map()
  node.staging = undefined
  node.isDiskFullTold = false
  const { file } = node.disk.image
  if (file !== undefined) {
    loadStore(node, file.snapshot, file.text)
    node.snapshots.set(file.snapshot.id, file.text)
  }
  node.snapshotAt = node.applied
  const config = { id: node.id, heartbeatTicks, electionTicks, limits, random }
  node.raft = createRaft(config, restore(node.disk.image))
  step(world, node, { type: 'started' })
}

/** The process ends. Of what is on its way to the disk a prefix gets there. */
export function crashNode(world: World, node: Node, kept: number): void {
  if (node.raft === undefined) return
  const { disk } = node
  const survive = Math.floor(disk.queue.length * kept)
  if (survive < disk.queue.length) count(world, 'sim.crash-lost-writes', node.number)
  for (const operation of disk.queue.slice(0, survive)) {
    disk.image = applyOperation(disk, disk.image, operation)
  }
  disk.queue = []
  disk.syncing = 0
  disk.staged = new Map()
  node.raft = undefined
  node.generation++
  node.pausedUntilMs = 0
  node.waiting.clear()
  node.reads.clear()
  world.trace?.(`${world.now.toFixed(2)} ${node.id} crashes, keeps ${survive} writes`)
  count(world, 'sim.crash', node.number)
}

/** Whole ticks of the member's own clock, which may run fast or slow. */
export function ticksNow(world: World, node: Node): number {
  const { startMs, startTicks, rate } = node.clock
  return startTicks + Math.floor(((world.now - startMs) * rate) / world.plan.tickMs)
}

export function setRate(world: World, node: Node, rate: number): void {
  const startTicks = ticksNow(world, node)
  node.clock = { startMs: world.now, startTicks, rate }
}

/** Hands an event to a member, with the time that has passed, and carries out what it orders. */
export function step(world: World, node: Node, event: RaftEvent): RaftUpdate | undefined {
  const { raft } = node
  if (raft === undefined) return undefined
  const ticks = ticksNow(world, node)
  const elapsed = event.type === 'ticked' ? 0 : ticks - node.ticks
  node.ticks = ticks
  const update = raft.step(event, elapsed)
  carryOut(world, node, raft, update, event)
  if (event.type === 'received' && event.message.type === 'append') {
    lookBehindAppend(world, node, { from: event.from, append: event.message })
  }
  return update
}

/**
 * Counts appends that fit, and leave behind them a tail that their leader does not have. To
 * acknowledge or commit past what such an append covers would be fatal; does one ever travel?
 */
function lookBehindAppend(
  world: World,
  { raft, number }: Node,
  { from, append }: { readonly from: MemberId; readonly append: Append },
): void {
  const { prevIndex, prevTerm, entries, term } = append
  const last = prevIndex + entries.length
  if (raft === undefined || raft.term !== term || raft.lastIndex <= last) return
  if (raft.termAt(last) !== (entries.at(-1)?.term ?? prevTerm)) return
  const leader = world.nodes[world.numberOf.get(from) ?? -1]?.raft
  if (leader?.role !== 'leader' || leader.term !== term) return
  // What the leader has compacted was committed, and is not told apart here.
  if (raft.lastIndex < leader.firstIndex) return
  if (leader.termAt(raft.lastIndex) === raft.termAt(raft.lastIndex)) return
  count(world, 'sim.append-before-conflict', number)
}

function carryOut(
  world: World,
  node: Node,
  raft: Raft,
  update: RaftUpdate,
  event: RaftEvent,
): void {
  world.steps++
  if (world.trace !== undefined) traceStep(world, node, update, event)
  const { save, send, committed, notes } = update
  for (const { event: name } of notes) count(world, name, node.number)
  if (save !== undefined) startSave(world, node, save)
  for (const { to, message } of send) post(world, node, to, message)
  if (update.restore !== undefined) {
    const text = node.disk.staged.get(update.restore.id)
    if (text === undefined)
      fail('snapshot', `${node.id} installs ${update.restore.id}, which is not staged`)
    node.snapshots.set(update.restore.id, text)
    node.work.push({ type: 'restore', snapshot: update.restore, text })
  }
  if (committed.length > 0) {
    checkCommitted(node.checkers, raft, committed)
    if (raft.role === 'leader') checkDurable(world, raft)
    for (const entry of committed) node.work.push({ type: 'entry', entry })
  }
  for (const { context, index } of update.reads) node.work.push({ type: 'read', context, index })
  for (const refusal of update.refused) {
    if (refusal.what === 'read' && refusal.context !== undefined)
      failRead(world, node, refusal.context, refusal.leaderId)
  }
  if (update.role !== undefined) changeRole(world, node, raft)
  if (update.fate !== undefined) meetFate(world, node, update.fate.type)
  setWake(world, node, update.wakeTicks)
  if (node.work.length > 0) scheduleWork(world, node)
}

function changeRole(world: World, node: Node, raft: Raft): void {
  if (raft.role === 'leader') checkLeader(node.checkers, raft)
  else if (node.waiting.size > 0) {
    // Whoever waits for an entry does not know what becomes of it now.
    for (const { client, attempt } of node.waiting.values())
      retry(world, client, attempt, undefined)
    node.waiting.clear()
  }
}

function meetFate(world: World, node: Node, fate: string): void {
  count(world, `sim.fate-${fate}`, node.number)
  if (fate === 'superseded') return
  node.isStopped = true
  if (fate === 'outdated') {
    if (!node.isLost)
      fail('incarnation', `${node.id} is refused as outdated, but its disk is sound`)
  } else if (!isRemoved(node)) {
    fail('removal', `${node.id} learns that it is removed, but it is not`)
  }
}

/** True if a configuration that removes it was committed, in its epoch. */
function isRemoved(node: Node): boolean {
  return node.checkers.committed.some(({ data }) => {
    const { removed } = (data ?? {}) as Partial<Membership>
    return removed?.includes(node.id) ?? false
  })
}

/** A leader commits: by our own count of disks a majority holds it. */
function checkDurable(world: World, raft: Raft): void {
  const index = raft.commit
  const term = raft.termAt(index)
  if (term === undefined) return
  const voters = raft.membership.members.filter((member) => member.isVoter)
  let holders = 0
  for (const { id } of voters) {
    const disk = world.nodes[world.numberOf.get(id) ?? -1]?.disk
    if (disk === undefined) continue
    if (holds(disk.image, index, term) || holds(disk.ghost, index, term)) holders++
  }
  if (2 * holders <= voters.length) {
    fail('durability', `${raft.id} commits ${index}, durable on ${holders} of ${voters.length}`)
  }
}

/** Remembers when the member wants to be woken. One wake-up is scheduled at a time, as a host would. */
function setWake(world: World, node: Node, ticks: number | undefined): void {
  if (ticks === undefined) {
    node.wakeAtMs = Number.POSITIVE_INFINITY
    return
  }
  const { startMs, startTicks, rate } = node.clock
  // A hair late, so that rounding never makes a tick fire twice.
  node.wakeAtMs = startMs + ((node.ticks + ticks - startTicks) * world.plan.tickMs) / rate + 0.001
  scheduleWake(world, node)
}

function scheduleWake(world: World, node: Node): void {
  if (node.wakeAtMs >= node.wakeScheduledMs) return
  node.wakeScheduledMs = node.wakeAtMs
  const { number, generation } = node
  schedule(world, { kind: 'wake', at: node.wakeAtMs, node: number, generation })
}

export function wake(world: World, node: Node): void {
  // An earlier wake-up was scheduled since: this one is of no use.
  if (world.now !== node.wakeScheduledMs) return
  node.wakeScheduledMs = Number.POSITIVE_INFINITY
  if (world.now < node.wakeAtMs) {
    if (node.wakeAtMs < Number.POSITIVE_INFINITY) scheduleWake(world, node)
    return
  }
  const ticks = ticksNow(world, node)
  const elapsed = ticks - node.ticks
  step(world, node, { type: 'ticked', ticks: elapsed })
}

function traceStep(world: World, node: Node, update: RaftUpdate, event: RaftEvent): void {
  const { save, role, notes, committed } = update
  const what: string[] = notes.map(
    (each) => `${each.event.slice(5)} ${JSON.stringify(each.fields).replace(/"/g, '')}`,
  )
  if (save !== undefined) {
    const { entries, hardState, install, compactTo } = save
    const parts = [`save ${save.id}`]
    if (hardState !== undefined) parts.push(`t${hardState.term} v${hardState.votedFor ?? '-'}`)
    if (entries !== undefined) {
      parts.push(entries.map((entry) => `${entry.index}/${entry.term}${entry.type[0]}`).join(' '))
    }
    if (install !== undefined) parts.push(`install ${install.index}`)
    if (compactTo !== undefined) parts.push(`compact ${compactTo}`)
    what.push(parts.join(' '))
  }
  if (committed.length > 0) what.push(`commits ${committed[0]?.index}-${committed.at(-1)?.index}`)
  if (role !== undefined) what.push(`is ${role.role} t${role.term} of ${role.leaderId ?? '-'}`)
  const isQuiet = what.length === 0 && event.type !== 'received'
  if (isQuiet) return
  const given = formatEvent(event)
  world.trace?.(`${world.now.toFixed(2)} ${node.id} ${given}: ${what.join('; ')}`)
}

function formatEvent(event: RaftEvent): string {
  if (event.type !== 'received') return event.type
  const { type, epoch: _epoch, incarnation: _incarnation, ...fields } = event.message
  const text = JSON.stringify(fields, (key, value) =>
    key === 'entries' ? value.length : key === 'snapshot' ? value?.index : value,
  )
  return `<- ${event.from} ${type} ${text.replace(/"/g, '')}`
}
