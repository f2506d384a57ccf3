// The hands of a simulated member: its network card, its disk, its state machine.

import type { MemberId, Message, Snapshot, StorageOperation } from '../../core/raft/types.ts'
import { checkCut, checkEntries, checkHead, checkState, fail } from './checkers.ts'
import { answerRead, answerWrite, retry } from './clients.ts'
import { applyOperation } from './disk.ts'
import { count, type Node, schedule, step, type World, type Write } from './world.ts'

// The network: letters are lost, doubled, delayed, and sometimes very late.

export function post(world: World, node: Node, to: MemberId, message: Message): void {
  const target = world.numberOf.get(to)
  if (target === undefined) return
  const { noise, dice, plan } = world
  if (world.watchedPosts.has(message.type)) world.onEvent(`post.${message.type}`, node.number)
  if ((world.cutUntil[node.number * 24 + target] ?? 0) > world.now) return
  if (noise.loss > 0 && dice.chance(noise.loss)) return
  const letter = fillChunk(node, message)
  if (letter === undefined) return
  const { delayMsMin, delayMsMax } = plan
  const copies = noise.duplicate > 0 && dice.chance(noise.duplicate) ? 2 : 1
  for (let copy = 0; copy < copies; copy++) {
    let delayMs = delayMsMin + (delayMsMax - delayMsMin) * (world.random.uint32() / 2 ** 32)
    if (noise.late > 0 && dice.chance(noise.late)) delayMs += dice.whole(0, noise.lateMs)
    const at = world.now + delayMs
    schedule(world, { kind: 'message', at, node: target, from: node.number, message: letter })
  }
}

/** Puts the bytes into a piece of a snapshot, as a transport does when it sends it. */
function fillChunk(node: Node, message: Message): Message | undefined {
  if (message.type !== 'snapshotChunk') return message
  const text = node.snapshots.get(message.snapshotId)
  if (text === undefined)
    fail('snapshot', `${node.id} has no snapshot ${message.snapshotId} to send`)
  const data = text.slice(message.offset, message.offset + message.sizeBytes)
  return { ...message, data }
}

// The disk: operations are synced in groups, in order.

export function startSave(world: World, node: Node, operation: StorageOperation): void {
  const { disk } = node
  const first = operation.entries?.[0]
  if (first !== undefined && operation.entries !== undefined && node.raft !== undefined) {
    checkEntries(node.checkers, node.raft, operation.entries)
    checkCut(node.checkers, node.id, {
      from: first.index,
      termAt: (index) => termOnDisk(node, index),
    })
  }
  if (operation.chunk !== undefined) stage(node, operation)
  disk.queue.push(operation)
  startSync(world, node)
}

/** The term of an entry on the disk once all that is on its way is there. */
function termOnDisk(node: Node, index: number): number | undefined {
  const { disk } = node
  for (let at = disk.queue.length - 1; at >= 0; at--) {
    const operation = disk.queue[at]
    if (operation?.install !== undefined) return undefined
    const entries = operation?.entries
    const first = entries?.[0]
    if (entries === undefined || first === undefined || first.index > index) continue
    return entries[index - first.index]?.term
  }
  const { baseIndex, entries } = disk.image
  return entries[index - baseIndex - 1]?.term
}

function stage(node: Node, operation: StorageOperation): void {
  const { chunk } = operation
  if (chunk === undefined) return
  if (typeof chunk.data !== 'string' || chunk.data.length !== chunk.sizeBytes) {
    fail('snapshot', `a piece of ${chunk.snapshotId} is not ${chunk.sizeBytes} long`)
  }
  if (chunk.offset === 0) node.staging = { id: chunk.snapshotId, text: '' }
  const { staging } = node
  if (staging === undefined || staging.text.length !== chunk.offset) {
    fail('snapshot', `${node.id} stages ${chunk.snapshotId} at ${chunk.offset}, not where it ended`)
  }
  staging.text += chunk.data
  const { install } = operation
  if (install === undefined) return
  if (digest(staging.text) !== install.id) {
    fail('snapshot', `${node.id} installs ${install.id}, but has other bytes`)
  }
  node.disk.staged.set(install.id, staging.text)
  node.staging = undefined
}

export function startSync(world: World, node: Node): void {
  const { disk } = node
  if (disk.syncing > 0 || disk.queue.length === 0) return
  if (disk.isFull) {
    if (!node.isDiskFullTold) {
      node.isDiskFullTold = true
      schedule(world, {
        kind: 'call',
        at: world.now,
        node: node.number,
        call: () => {
          if (disk.isFull && node.isDiskFullTold) step(world, node, { type: 'diskFull' })
        },
      })
    }
    return
  }
  disk.syncing = disk.queue.length
  const { syncMsMin, syncMsMax } = world.plan
  const span = (syncMsMax - syncMsMin) * (world.random.uint32() / 2 ** 32)
  const startMs = Math.max(world.now, disk.stalledUntilMs)
  const at = startMs + (syncMsMin + span) * disk.slowFactor
  schedule(world, { kind: 'synced', at, node: node.number, generation: node.generation })
}

export function finishSync(world: World, node: Node): void {
  const { disk } = node
  if (disk.stalledUntilMs > world.now) {
    const { number, generation } = node
    schedule(world, { kind: 'synced', at: disk.stalledUntilMs, node: number, generation })
    return
  }
  const done = disk.queue.splice(0, disk.syncing)
  disk.syncing = 0
  for (const operation of done) {
    disk.image = applyOperation(disk, disk.image, operation)
    if (operation.install !== undefined) disk.staged.delete(operation.install.id)
  }
  const last = done.at(-1)
  startSync(world, node)
  if (last !== undefined) step(world, node, { type: 'persisted', operation: last.id })
}

// The state machine: a key-value store, applied in order, at once or a little later.

export function scheduleWork(world: World, node: Node): void {
  if (world.plan.applyMs === 0) {
    doWork(world, node)
    return
  }
  if (node.isWorkScheduled) return
  node.isWorkScheduled = true
  const at = world.now + world.dice.whole(0, world.plan.applyMs)
  schedule(world, { kind: 'work', at, node: node.number, generation: node.generation })
}

export function doWork(world: World, node: Node): void {
  node.isWorkScheduled = false
  const { work } = node
  node.work = []
  for (const item of work) {
    if (item.type === 'restore') restoreStore(world, node, item.snapshot, item.text)
    else if (item.type === 'entry') applyEntry(world, node, item.entry)
    else if (node.applied < item.index)
      fail('reads', 'a read is served before its index is applied')
    else answerRead(world, node, item.context)
  }
  if (node.raft !== undefined && node.applied - node.snapshotAt >= world.plan.snapshotEvery) {
    takeSnapshot(world, node)
  }
}

type Applied = Extract<Node['work'][number], { type: 'entry' }>['entry']

function applyEntry(world: World, node: Node, entry: Applied): void {
  if (entry.index !== node.applied + 1) {
    fail('apply', `${node.id} applies ${entry.index} after ${node.applied}`)
  }
  node.applied = entry.index
  node.appliedTerm = entry.term
  if (entry.type === 'normal') {
    const write = entry.data as Write
    node.store.set(write.key, write.value)
    node.hash = mix(node.hash, write.value)
  }
  if (entry.type === 'config' && entry.index > 1) count(world, 'sim.change-committed', node.number)
  checkState(node.checkers, node.id, { index: node.applied, hash: node.hash })
  const waiting = node.waiting.get(entry.index)
  if (waiting === undefined) return
  node.waiting.delete(entry.index)
  if (waiting.term === entry.term) answerWrite(world, waiting.client, waiting.attempt, entry.index)
  else retry(world, waiting.client, waiting.attempt, undefined)
}

function mix(hash: number, text: string): number {
  let mixed = hash
  for (let at = 0; at < text.length; at++) mixed = (Math.imul(mixed, 31) + text.charCodeAt(at)) | 0
  return mixed
}

/** The name of a snapshot's bytes. */
function digest(text: string): string {
  let [a, b] = [5381, 52711]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    a = (Math.imul(a, 33) + code) | 0
    b = (Math.imul(b, 37) ^ code) | 0
  }
  return `${(a >>> 0).toString(36)}-${(b >>> 0).toString(36)}-${text.length}`
}

interface Saved {
  readonly index: number
  readonly hash: number
  readonly store: [number, string][]
}

/** Takes a snapshot of what is applied; it is durable before raft hears of it. */
export function takeSnapshot(world: World, node: Node): void {
  const { raft } = node
  if (raft === undefined || node.applied <= (raft.snapshot?.index ?? 0)) return
  const head = raft.snapshotHead(node.applied)
  checkHead(node.checkers, node.id, head)
  const { membership } = head
  const pairs = [...node.store].sort((a, b) => a[0] - b[0])
  const saved = { index: node.applied, hash: node.hash, store: pairs, membership }
  const text = JSON.stringify(saved)
  const snapshot: Snapshot = { ...head, id: digest(text), sizeBytes: text.length }
  const used = new Set(raft.snapshotsInUse)
  for (const id of node.snapshots.keys()) if (!used.has(id)) node.snapshots.delete(id)
  node.snapshots.set(snapshot.id, text)
  node.snapshotAt = node.applied
  const { disk } = node
  disk.image = { ...disk.image, file: { snapshot, text } }
  count(world, 'sim.snapshot', node.number)
  step(world, node, { type: 'snapshotTaken', snapshot })
}

function restoreStore(world: World, node: Node, snapshot: Snapshot, text: string): void {
  if (snapshot.index <= node.applied) {
    fail('snapshot', `${node.id} goes back from ${node.applied} to ${snapshot.index}`)
  }
  loadStore(node, snapshot, text)
  node.snapshotAt = snapshot.index
  checkState(node.checkers, node.id, { index: node.applied, hash: node.hash })
  for (const [index, { client, attempt }] of node.waiting) {
    if (index > snapshot.index) continue
    node.waiting.delete(index)
    retry(world, client, attempt, undefined)
  }
}

export function loadStore(node: Node, snapshot: Snapshot, text: string): void {
  const saved = JSON.parse(text) as Saved
  if (saved.index !== snapshot.index)
    fail('snapshot', `${node.id} loads ${saved.index} for ${snapshot.index}`)
  node.store = new Map(saved.store)
  node.hash = saved.hash
  node.applied = snapshot.index
  node.appliedTerm = snapshot.term
}
