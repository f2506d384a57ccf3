// One seed from its plan to its verdict.

import { recoverState } from '../../core/raft/birth.ts'
import { fail, makeCheckers, Violation } from './checkers.ts'
import { endClients, timeOut, turn } from './clients.ts'
import { restore } from './disk.ts'
import { armFaults, cut, cutPair, freeDisk, leaderNode } from './faults.ts'
import { findAnomaly } from './history.ts'
import { doWork, finishSync } from './host.ts'
import { drawPlan, type Plan } from './plan.ts'
import {
  count,
  crashNode,
  type Happening,
  makeWorld,
  type Node,
  schedule,
  setRate,
  startNode,
  step,
  type World,
  wake,
} from './world.ts'

export interface Result {
  readonly seed: number
  /** Undefined if all was well. */
  readonly failure: string | undefined
  readonly virtualMs: number
  readonly steps: number
  readonly acked: number
  readonly counts: ReadonlyMap<string, number>
}

/** At least this much virtual time; then on until everything has converged. */
const runMsMin = 60_000
const convergeMsMax = 180_000

export function runSeed(seed: number, trace?: (line: string) => void): Result {
  return runPlan(drawPlan(seed), trace)
}

export function runPlan(plan: Plan, trace?: (line: string) => void): Result {
  const world = makeWorld(plan)
  world.trace = trace
  let failure: string | undefined
  try {
    armFaults(world, plan.faults)
    runUntil(world, () => world.now >= plan.healAtMs)
    heal(world)
    converge(world)
    if (plan.isRecovered) recover(world)
    runUntil(world, () => world.now >= runMsMin)
    endClients(world)
    for (const operations of world.history) {
      const anomaly = findAnomaly(operations)
      if (anomaly !== undefined) fail('linearizability', anomaly)
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    failure = error instanceof Violation ? error.message : (error.stack ?? error.message)
  }
  const { seed } = plan
  const { now, steps, acked, counts } = world
  return { seed, failure, virtualMs: now, steps, acked, counts }
}

function runUntil(world: World, isDone: () => boolean): void {
  while (!isDone()) {
    const happening = world.queue.pop()
    if (happening === undefined) fail('liveness', 'nothing will ever happen again')
    world.now = world.queue.time()
    happen(world, happening)
  }
}

function happen(world: World, happening: Happening): void {
  const { kind, call } = happening
  if (kind === 'call') {
    call?.()
    return
  }
  if (kind === 'client' || kind === 'timeout') {
    const client = world.clients[happening.node]
    if (client === undefined) return
    if (kind === 'client') turn(world, client)
    else timeOut(world, client)
    return
  }
  const node = world.nodes[happening.node]
  if (node?.raft === undefined) return
  if (kind !== 'message' && happening.generation !== node.generation) return
  if (node.pausedUntilMs > world.now) {
    if (kind === 'wake') {
      if (world.now !== node.wakeScheduledMs) return
      node.wakeScheduledMs = node.pausedUntilMs
    }
    schedule(world, { ...happening, at: node.pausedUntilMs })
    return
  }
  if (kind === 'wake') wake(world, node)
  else if (kind === 'synced') finishSync(world, node)
  else if (kind === 'work') doWork(world, node)
  else if (happening.message !== undefined) {
    const from = world.nodes[happening.from]?.id ?? ''
    step(world, node, { type: 'received', from, message: happening.message })
  }
}

/** Every fault ends, but for a lasting cut. */
function heal(world: World): void {
  world.isHealed = true
  world.trace?.(`${world.now.toFixed(2)} --- healed`)
  world.noise = { loss: 0.01, duplicate: 0.01, late: 0, lateMs: 0 }
  world.cutUntil.fill(0)
  world.anyCutUntilMs = 0
  for (const node of world.nodes) {
    node.pausedUntilMs = 0
    node.disk.slowFactor = 1
    node.disk.stalledUntilMs = 0
    if (node.clock.rate < 0.8 || node.clock.rate > 1.25) setRate(world, node, 1)
    freeDisk(world, node)
    if (!node.isLost) startNode(world, node)
  }
  const { lasting } = world.plan
  const node = lasting === undefined ? undefined : world.nodes[lasting.who]
  if (lasting === undefined || node === undefined || !isSpare(world, node)) return
  count(world, 'sim.lasting-cut', node.number)
  cut(world, node, lasting.way, Number.POSITIVE_INFINITY)
  world.cutOff = node
}

/** True if a majority of sound members is left without this one. */
function isSpare(world: World, node: Node): boolean {
  return world.nodes.every((other) => {
    const members = other.raft?.membership.members.filter((member) => member.isVoter) ?? []
    const sound = members.filter(({ id }) => {
      const number = world.numberOf.get(id)
      const member = number === undefined ? undefined : world.nodes[number]
      return member !== node && member?.raft !== undefined && !member.isLost
    })
    return members.length === 0 || 2 * sound.length > members.length
  })
}

/** One leader, everyone sound is level with it, whoever was removed knows it, and writes succeed. */
function converge(world: World): void {
  // Where a letter carries one entry, a joiner needs a round trip and a sync for each.
  const { delayMsMax, syncMsMax } = world.plan
  const entries = leaderNode(world)?.raft?.lastIndex ?? 0
  const patienceMs = convergeMsMax + entries * 2 * (delayMsMax + syncMsMax)
  const deadline = world.now + patienceMs
  const ackedBefore = world.acked
  let nextLook = world.now
  const isConverged = (): boolean => {
    if (world.now > deadline)
      fail('liveness', `not converged ${patienceMs} ms after the healing: ${describe(world)}`)
    if (world.now < nextLook) return false
    nextLook = world.now + 100
    removeLost(world)
    if (world.acked < ackedBefore + 3) return false
    world.areClientsPaused = true
    return isLevel(world)
  }
  runUntil(world, isConverged)
  world.areClientsPaused = false
  if (world.cutOff !== undefined) stayCalm(world)
  else if (world.plan.severed !== undefined) severTwo(world, world.plan.severed)
}

/** Two members cannot talk, a third hears both, and nothing is written: no cause for elections. */
function severTwo(world: World, number: number): void {
  world.areClientsPaused = true
  const members = leaderNode(world)?.raft?.membership.members ?? []
  const voters = members.filter((member) => member.isVoter)
  const one = world.numberOf.get(voters[number % voters.length]?.id ?? '')
  const two = world.numberOf.get(voters[(number + 1) % voters.length]?.id ?? '')
  if (one !== undefined && two !== undefined && voters.length >= 3) {
    count(world, 'sim.severed', one)
    const before = highestTerm(world)
    cutPair(world, one, two, 15_000)
    const until = world.now + 15_000
    runUntil(world, () => world.now >= until)
    const after = highestTerm(world)
    if (after > before + 3) fail('liveness', `terms went from ${before} to ${after} for one link`)
  }
  world.areClientsPaused = false
}

/** In the present epoch: who was left behind in an old one may campaign there as it likes. */
function highestTerm(world: World): number {
  const present = world.nodes.filter((node) => node.checkers === world.checkers)
  return Math.max(...present.map((node) => node.raft?.term ?? 0))
}

/** A member that is cut off for good must not disturb the others again and again. */
function stayCalm(world: World): void {
  const until = world.now + 20_000
  const before = leaderNode(world)?.raft?.term ?? 0
  const acked = world.acked
  runUntil(world, () => world.now >= until)
  const after = leaderNode(world)?.raft?.term ?? 0
  if (after > before + 3) fail('liveness', `terms went from ${before} to ${after} in 20 s of calm`)
  if (world.acked < acked + 3) fail('liveness', `${world.acked - acked} answers in 20 s of calm`)
  // When it comes back its term is the others', and it ends no leadership.
  world.cutUntil.fill(0)
  world.anyCutUntilMs = 0
  const back = world.now + 5_000
  runUntil(world, () => world.now >= back)
  const end = highestTerm(world)
  if (end > after + 3)
    fail('liveness', `terms went from ${after} to ${end} when a member came back`)
}

/** The operator removes members whose disks are lost. */
function removeLost(world: World): void {
  const leader = leaderNode(world)
  if (leader?.raft === undefined) return
  for (const { id } of leader.raft.membership.members) {
    const number = world.numberOf.get(id)
    const member = number === undefined ? undefined : world.nodes[number]
    if (member?.isLost) {
      step(world, leader, { type: 'membershipProposed', change: { type: 'remove', id } })
      return
    }
  }
}

function isLevel(world: World): boolean {
  const leader = leaderNode(world)
  const { raft } = leader ?? {}
  if (leader === undefined || raft === undefined || raft.commit !== raft.lastIndex) return false
  for (const { id } of raft.membership.members) {
    const node = world.nodes[world.numberOf.get(id) ?? -1]
    if (node === undefined || node === world.cutOff) continue
    if (node.isLost || node.raft === undefined) return false
    if (node.applied !== leader.applied || node.hash !== leader.hash) return false
    if (node.applied !== raft.commit || node.raft.term !== raft.term) return false
    if (node.disk.queue.length > 0) return false
  }
  for (const node of world.nodes) {
    const isRemoved = raft.membership.removed.includes(node.id)
    // It can only be told by someone whom it knows and who is still there.
    const known = node.raft?.membership.members ?? []
    const canAsk = known.some((one) => raft.membership.members.some((two) => two.id === one.id))
    const mustKnow = isRemoved && canAsk
    if (mustKnow && !node.isLost && node !== world.cutOff && !node.isStopped) return false
  }
  return true
}

function describe(world: World): string {
  const members = world.nodes.map((node) => {
    const { raft } = node
    if (raft === undefined) return `${node.id} down${node.isLost ? ' (lost)' : ''}`
    return `${node.id} ${raft.role} t${raft.term} log ${raft.firstIndex}-${raft.lastIndex} commit ${raft.commit} applied ${node.applied}${node.isLost ? ' (lost)' : ''}`
  })
  return members.join('; ')
}

/**
 * The majority is lost for good: one member goes on alone in a new epoch. The others come back
 * later, and may do what they like in theirs, but must not disturb the new one.
 */
function recover(world: World): void {
  world.areClientsPaused = true
  runUntil(world, () => isLevel(world) && world.clients.every((client) => !client.operation))
  const members = leaderNode(world)?.raft?.membership.members ?? []
  const id = members[world.dice.whole(0, members.length - 1)]?.id ?? ''
  const survivor = world.nodes[world.numberOf.get(id) ?? -1]
  if (survivor === undefined || survivor === world.cutOff) return
  const before = survivor.checkers
  for (const node of world.nodes) crashNode(world, node, 1)
  const recovery = { id, address: `${id}:1`, epochId: 'e2' }
  const { hardState, snapshot, entries } = recoverState(restore(survivor.disk.image), recovery)
  const { image } = survivor.disk
  const file = image.file && snapshot && { ...image.file, snapshot }
  survivor.disk.image = { ...image, hardState, file, entries, commit: hardState.commit }
  world.epoch = hardState.epoch
  const { committed, memberships } = before
  world.checkers = {
    ...makeCheckers(),
    committed: [...committed],
    memberships: [...memberships],
  }
  world.checkers.ackedIndex = before.ackedIndex
  survivor.checkers = world.checkers
  count(world, 'sim.recovered', survivor.number)
  startNode(world, survivor)
  world.areClientsPaused = false
  const until = world.now + 2000
  runUntil(world, () => world.now >= until)
  for (const node of world.nodes) if (!node.isLost) startNode(world, node)
  const later = world.now + 10_000
  runUntil(world, () => world.now >= later)
  converge(world)
  if (survivor.raft?.role !== 'leader') fail('epoch', `${id} does not lead its new epoch`)
}
