// The faults of a plan, as they strike.
//
// Raft promises safety whatever the network and the processes do, and as long as each disk keeps
// what it acknowledged. Faults that break that promise (wipe, rewind, flip) strike only where the
// thesis allows it: a minority is lost, and the others have written down who that was.

import { joinState } from '../../core/raft/birth.ts'
import { isBroken } from '../../core/raft/state.ts'
import type { MembershipChange } from '../../core/raft/types.ts'
import { copyImage, type Image } from './disk.ts'
import { startSync, takeSnapshot } from './host.ts'
import type { Action, ChangeKind, Fault, Target, Way } from './plan.ts'
import {
  addJoiner,
  count,
  crashNode,
  type Node,
  schedule,
  setRate,
  startNode,
  step,
  type World,
} from './world.ts'

export function leaderNode(world: World): Node | undefined {
  let best: Node | undefined
  for (const node of world.nodes) {
    if (node.raft?.role !== 'leader' || node.checkers !== world.checkers) continue
    if (best?.raft === undefined || node.raft.term > best.raft.term) best = node
  }
  return best
}

function resolve(world: World, who: Target, self: number): Node | undefined {
  if (who === 'self') return world.nodes[self]
  if (who === 'leader') return leaderNode(world) ?? world.nodes[0]
  return world.nodes[who % world.nodes.length]
}

/** Schedules the faults that have a time, and waits for the events of the others. */
export function armFaults(world: World, faults: readonly Fault[]): void {
  const seen = new Map<string, number>()
  const triggered = faults.filter((fault) => fault.after !== undefined)
  for (const fault of faults) {
    if (fault.atMs !== undefined) {
      schedule(world, {
        kind: 'call',
        at: fault.atMs,
        node: 0,
        call: () => strike(world, fault.action, 0),
      })
    }
  }
  if (triggered.length === 0) return
  const byEvent = Map.groupBy(triggered, (fault) => fault.after?.event ?? '')
  for (const name of byEvent.keys()) {
    if (name.startsWith('post.')) world.watchedPosts.add(name.slice(5))
  }
  world.onEvent = (event, node) => {
    const waiting = byEvent.get(event)
    if (waiting === undefined || world.isHealed) return
    const nth = (seen.get(event) ?? 0) + 1
    seen.set(event, nth)
    for (const { after, action } of waiting) {
      if (after?.nth !== nth) continue
      const at = world.now + after.delayMs
      schedule(world, { kind: 'call', at, node: 0, call: () => strike(world, action, node) })
    }
  }
}

function strike(world: World, action: Action, self: number): void {
  if (world.isHealed) return
  world.trace?.(`${world.now.toFixed(2)} --- ${JSON.stringify(action)}`)
  count(world, `fault.${action.do}`, 0)
  switch (action.do) {
    case 'crashAll':
      for (const node of world.nodes) crash(world, node, action)
      return
    case 'split':
      split(world, action.mask, action.ms)
      return
    case 'noise':
      world.noise = action.net
      later(world, action.ms, () => {
        if (!world.isHealed) world.noise = world.plan.noise
      })
      return
    default: {
      const node = resolve(world, action.who, self)
      if (node !== undefined) strikeNode(world, node, action)
    }
  }
}

type NodeAction = Exclude<Action, { do: 'crashAll' | 'split' | 'noise' }>

function strikeNode(world: World, node: Node, action: NodeAction): void {
  switch (action.do) {
    case 'crash':
      crash(world, node, action)
      return
    case 'regroup':
      regroup(world, node, action)
      return
    case 'pause':
      node.pausedUntilMs = Math.max(node.pausedUntilMs, world.now + action.ms)
      return
    case 'cut':
      cut(world, node, action.way, action.ms)
      return
    case 'link':
      cutPair(world, node.number, action.other % world.nodes.length, action.ms)
      return
    case 'slow':
      node.disk.slowFactor = action.factor
      later(world, action.ms, () => {
        node.disk.slowFactor = 1
      })
      return
    case 'stall':
      node.disk.stalledUntilMs = Math.max(node.disk.stalledUntilMs, world.now + action.ms)
      return
    case 'full':
      node.disk.isFull = true
      later(world, action.ms, () => freeDisk(world, node))
      return
    case 'wipe':
      loseDisk(world, node, 'wipe')
      return
    case 'image':
      node.disk.backup = copyImage(node.disk.image)
      return
    case 'rewind':
      loseDisk(world, node, 'rewind')
      return
    case 'flip':
      loseDisk(world, node, 'flip', action.where)
      return
    case 'drift':
      setRate(world, node, action.rate)
      return
    case 'change':
      changeMembers(world, node, action.change)
      return
    case 'transfer':
      step(world, node, { type: 'transferRequested' })
      return
    case 'snapshot':
      if (node.raft !== undefined) takeSnapshot(world, node)
      return
    case 'burst':
      burst(world, node, action.count)
      return
  }
}

function later(world: World, ms: number, call: () => void): void {
  schedule(world, { kind: 'call', at: world.now + ms, node: 0, call })
}

function crash(world: World, node: Node, how: { downMs: number; kept: number }): void {
  if (node.raft === undefined) return
  crashNode(world, node, how.kept)
  later(world, how.downMs, () => startNode(world, node))
}

function cutOne(world: World, from: number, to: number, ms: number): void {
  const at = from * 24 + to
  world.cutUntil[at] = Math.max(world.cutUntil[at] ?? 0, world.now + ms)
  world.anyCutUntilMs = Math.max(world.anyCutUntilMs, world.now + ms)
}

export function cutPair(world: World, a: number, b: number, ms: number): void {
  cutOne(world, a, b, ms)
  cutOne(world, b, a, ms)
}

function split(world: World, mask: number, ms: number): void {
  const side = (number: number): number => (mask >> (number % 7)) & 1
  for (const a of world.nodes) {
    for (const b of world.nodes) {
      if (side(a.number) !== side(b.number)) cutOne(world, a.number, b.number, ms)
    }
  }
}

function regroup(world: World, node: Node, how: Extract<Action, { do: 'regroup' }>): void {
  world.cutUntil.fill(0)
  world.anyCutUntilMs = 0
  const members = (node.raft?.membership.members ?? []).filter(({ id }) => id !== node.id)
  const voters = members.filter((member) => member.isVoter).map(({ id }) => id)
  const side = new Set([node.id])
  for (let at = 0; at < how.others && voters.length > 0; at++) {
    for (const id of voters.splice(world.dice.whole(0, voters.length - 1), 1)) side.add(id)
  }
  if (how.hasLearners) for (const { id, isVoter } of members) if (!isVoter) side.add(id)
  for (const a of world.nodes) {
    for (const b of world.nodes) {
      if (side.has(a.id) && !side.has(b.id)) cutPair(world, a.number, b.number, how.ms)
    }
  }
}

function isCut(world: World, from: Node, id: string): boolean {
  const to = world.numberOf.get(id) ?? 0
  return (world.cutUntil[from.number * 24 + to] ?? 0) > world.now
}

export function cut(world: World, node: Node, way: Way, ms: number): void {
  for (const other of world.nodes) {
    if (other === node) continue
    if (way !== 'in') cutOne(world, node.number, other.number, ms)
    if (way !== 'out') cutOne(world, other.number, node.number, ms)
  }
}

export function freeDisk(world: World, node: Node): void {
  node.disk.isFull = false
  startSync(world, node)
  if (!node.isDiskFullTold) return
  node.isDiskFullTold = false
  step(world, node, { type: 'diskFreed' })
}

/** Whether this disk may be destroyed: the rest must be a majority that knows this very start. */
function mayLose(world: World, node: Node): boolean {
  const { raft } = node
  if (raft === undefined || node.isLost) return false
  const others = world.nodes.filter((other) => other !== node && !other.isStopped)
  // Everyone who might ever vote or count must agree on who votes, and know this start.
  const voters = new Set<string>()
  for (const other of world.nodes) {
    for (const entry of other.disk.image.entries) {
      if (entry.type === 'config') for (const each of entry.data.members) voters.add(each.id)
    }
    for (const each of other.disk.image.file?.snapshot.membership.members ?? []) voters.add(each.id)
  }
  if (world.nodes.some((other) => other.isLost && voters.has(other.id))) return false
  const votersOf = (each: Node): string => {
    const members = each.raft?.membership.members ?? []
    return members.flatMap((member) => (member.isVoter ? [member.id] : [])).join()
  }
  if (votersOf(node).split(',').length < 3) return false
  if (others.some((other) => votersOf(other) !== votersOf(node))) return false
  const { counter, nonce } = raft.incarnation
  return others.every((other) => {
    if (other.raft === undefined) return false
    const known = other.disk.image.hardState.seen[node.id]
    return known?.counter === counter && known.nonce === nonce
  })
}

function loseDisk(world: World, node: Node, how: 'wipe' | 'rewind' | 'flip', where = 0): void {
  const { disk } = node
  if (!mayLose(world, node)) return
  if (how === 'rewind' && !isBetrayed(world, node)) return
  crashNode(world, node, 1)
  disk.ghost = disk.image
  node.isLost = true
  count(world, `sim.lost-${how}`, node.number)
  if (how === 'flip') {
    damage(world, node, where)
    return
  }
  disk.image = how === 'rewind' ? (disk.backup ?? disk.image) : blank(world)
  startNode(world, node)
}

/**
 * Whether everyone could tell that this disk was put back to its backup. One of an earlier start is
 * no ancestor of the start that they know. One of this very start looks like a crash, unless they
 * have written down that the disk has held more since. And a member that was once the only voter
 * needs nobody to tell.
 */
function isBetrayed(world: World, node: Node): boolean {
  const { backup } = node.disk
  const start = node.raft?.incarnation
  if (backup === undefined || start === undefined || isOnlyVoter(backup)) return false
  if (backup.hardState.incarnation.counter < start.counter) return true
  const { hardState, baseIndex, entries, file } = backup
  const foundIndex = Math.max(baseIndex + entries.length, file?.snapshot.index ?? 0)
  const { counter, nonce } = start
  const foundTerm = Math.max(hardState.term, file?.snapshot.term ?? 0)
  const found = { counter: counter + 1, nonce, foundTerm, foundIndex }
  const isKnown = world.nodes.every((other) => {
    const promised = other.disk.image.hardState.promises[node.id]
    return other === node || other.isStopped || isBroken(promised, found)
  })
  if (isKnown) count(world, 'sim.lost-rewind-same-start', node.number)
  return isKnown
}

function isOnlyVoter({ entries, file }: Image): boolean {
  const change = entries.findLast((entry) => entry.type === 'config')
  const membership = change === undefined ? file?.snapshot.membership : change.data
  return (membership?.members ?? []).filter((member) => member.isVoter).length < 2
}

function blank(world: World): Image {
  const { epoch } = world
  const hardState = joinState(epoch).hardState
  return { hardState, commit: 0, file: undefined, baseIndex: 0, entries: [] }
}

/** A bit has flipped in the log: the storage names the place and refuses to start. */
function damage(world: World, node: Node, _where: number): void {
  world.trace?.(`${world.now.toFixed(2)} ${node.id} finds damage and stays down`)
}

function changeMembers(world: World, node: Node, kind: ChangeKind): void {
  const { raft } = node
  if (raft === undefined || raft.role !== 'leader') return
  // An operator replaces what is lost before anything else.
  const isLost = (id: string): boolean => world.nodes[world.numberOf.get(id) ?? -1]?.isLost ?? false
  if (kind !== 'grow' && raft.membership.members.some((member) => isLost(member.id))) return
  const { members } = raft.membership
  const pick = (isVoter: boolean): string | undefined => {
    const those = members.filter((member) => member.isVoter === isVoter)
    return those[world.dice.whole(0, Math.max(0, those.length - 1))]?.id
  }
  const anyone = members[world.dice.whole(0, members.length - 1)]?.id ?? raft.id
  let change: MembershipChange | undefined
  if (kind === 'grow') {
    const joiner = members.length < 7 ? addJoiner(world) : undefined
    if (joiner !== undefined) {
      change = { type: 'addLearner', id: joiner.id, address: `${joiner.id}:1` }
    }
  } else if (kind === 'promote') {
    const id = pick(false)
    if (id !== undefined) change = { type: 'promote', id }
  } else if (kind === 'oust') {
    const away = members.filter((member) => member.isVoter && isCut(world, node, member.id))
    const id = away[world.dice.whole(0, Math.max(0, away.length - 1))]?.id
    if (id !== undefined) change = { type: 'remove', id }
  } else if (kind === 'leave') change = { type: 'remove', id: raft.id }
  else if (kind === 'demote') change = { type: 'demote', id: pick(true) ?? anyone }
  else if (kind === 'remove') change = { type: 'remove', id: anyone }
  else
    change = { type: 'changeAddress', id: anyone, address: `${anyone}:${world.dice.whole(2, 99)}` }
  if (change === undefined) return
  const update = step(world, node, { type: 'membershipProposed', change })
  const verdict = update?.refused[0]?.reason
  count(world, verdict === undefined ? 'sim.change-accepted' : `sim.change-refused`, node.number)
}

/** Many proposals at once that nobody waits for. */
function burst(world: World, node: Node, size: number): void {
  const entries = Array.from({ length: size }, () => {
    const value = `b${++world.contexts}`
    const key = 1000 + (world.contexts % 5)
    return { data: { key, value }, sizeBytes: 12, request: value }
  })
  step(world, node, { type: 'proposed', entries })
}
