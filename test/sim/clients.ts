// The clients of a simulated cluster: each does one read or write after another, follows hints to
// the leader, and asks again, with the same request id, when no answer comes.

import type { MemberId } from '../../core/raft/types.ts'
import { fail } from './checkers.ts'
import { type Client, count, type Node, schedule, step, type World } from './world.ts'

/** It is this client's turn: begin something, or try again what has begun. */
export function turn(world: World, client: Client): void {
  if (client.operation === undefined) {
    if (world.areClientsPaused) {
      schedule(world, { kind: 'client', at: world.now + 50, node: client.number })
      return
    }
    begin(world, client)
  }
  attempt(world, client)
}

function begin(world: World, client: Client): void {
  const kind = world.dice.chance(0.5) ? 'write' : 'read'
  client.count++
  const { strays, keys } = world.plan
  if (strays > 0 && world.dice.chance(strays)) {
    client.guess = world.dice.whole(0, world.nodes.length - 1)
  }
  client.operation = {
    kind,
    key: world.dice.whole(0, keys - 1),
    value: `${client.number}.${client.count}`,
    beginMs: world.now,
    floor: world.checkers.ackedIndex,
    // Attempts of different operations never share a number.
    attempt: client.count * 10_000,
    sent: 0,
    tries: 0,
  }
}

function attempt(world: World, client: Client): void {
  const { operation } = client
  if (operation === undefined) return
  operation.attempt++
  operation.sent = operation.attempt
  operation.tries++
  const node = world.nodes[client.guess % world.nodes.length]
  client.deadlineMs = world.now + world.plan.patienceMs
  if (client.timerMs <= world.now) setTimer(world, client)
  if (node?.raft === undefined) return
  // Nobody asks a cluster that was given up.
  if (node.checkers !== world.checkers) return
  const ask = (): void => {
    if (client.operation !== operation || operation.attempt !== operation.sent) return
    if (operation.kind === 'write') write(world, node, client)
    else read(world, node, client)
  }
  if (node.pausedUntilMs <= world.now) ask()
  // A process that stands still finds the request in its socket when it goes on.
  else schedule(world, { kind: 'call', at: node.pausedUntilMs, node: node.number, call: ask })
}

function write(world: World, node: Node, client: Client): void {
  const { operation } = client
  if (operation === undefined) return
  const { key, value } = operation
  const data = { key, value }
  const update = step(world, node, {
    type: 'proposed',
    entries: [{ data, sizeBytes: 8 + value.length, request: value }],
  })
  if (update === undefined) return
  const accepted = update.accepted[0]
  if (accepted === undefined) {
    retry(world, client.number, operation.attempt, update.refused[0]?.leaderId)
    return
  }
  if (accepted.isDuplicate) count(world, 'sim.duplicate-proposal', node.number)
  else count(world, 'sim.write-proposed', node.number)
  const { index, term } = accepted
  // The only voter may have committed it in this very step.
  if (client.operation !== operation) return
  if (index <= node.applied) answerWrite(world, client.number, operation.attempt, index)
  else node.waiting.set(index, { term, client: client.number, attempt: operation.attempt })
}

function read(world: World, node: Node, client: Client): void {
  const { operation } = client
  if (operation === undefined) return
  const context = ++world.contexts
  node.reads.set(context, { client: client.number, attempt: operation.attempt })
  step(world, node, { type: 'readRequested', context })
}

/** A read that a member refuses, or can no longer serve. */
export function failRead(
  world: World,
  node: Node,
  context: number,
  hint: MemberId | undefined,
): void {
  const waiting = node.reads.get(context)
  node.reads.delete(context)
  if (waiting !== undefined) retry(world, waiting.client, waiting.attempt, hint)
}

export function answerRead(world: World, node: Node, context: number): void {
  const waiting = node.reads.get(context)
  node.reads.delete(context)
  const client = waiting === undefined ? undefined : world.clients[waiting.client]
  const operation = client?.operation
  if (client === undefined || operation === undefined || operation.kind !== 'read') return
  if (waiting === undefined || operation.attempt !== waiting.attempt) return
  if (node.applied < operation.floor) {
    fail(
      'read floor',
      `${node.id} serves a read at ${node.applied}, ${operation.floor} was acknowledged before`,
    )
  }
  const { beginMs, key } = operation
  const value = node.store.get(key)
  world.history[key]?.push({ kind: 'read', value, beginMs, endMs: world.now })
  count(world, 'sim.read-served', node.number)
  if (world.now < world.anyCutUntilMs) count(world, 'sim.read-during-cut', node.number)
  finish(world, client)
}

export function answerWrite(
  world: World,
  number: number,
  attemptNumber: number,
  index: number,
): void {
  const client = world.clients[number]
  const operation = client?.operation
  if (client === undefined || operation?.kind !== 'write' || operation.attempt !== attemptNumber)
    return
  const { beginMs, key, value } = operation
  world.history[key]?.push({ kind: 'write', value, beginMs, endMs: world.now })
  world.checkers.ackedIndex = Math.max(world.checkers.ackedIndex, index)
  world.acked++
  finish(world, client)
  count(world, 'sim.write-acked', client.guess % world.nodes.length)
}

function finish(world: World, client: Client): void {
  client.operation = undefined
  const { thinkMs } = world.plan
  const at = world.now + world.dice.whole(1, 2 * thinkMs)
  schedule(world, { kind: 'client', at, node: client.number })
}

/** No answer, or no: ask elsewhere, unless this attempt is old news; sometimes give up. */
export function retry(
  world: World,
  number: number,
  attemptNumber: number,
  hint: MemberId | undefined,
): void {
  const client = world.clients[number]
  const operation = client?.operation
  if (client === undefined || operation === undefined) return
  if (operation.attempt !== attemptNumber) return
  // Whatever answer this attempt still gets comes too late.
  operation.attempt++
  const known = hint === undefined ? undefined : world.numberOf.get(hint)
  client.guess = known ?? world.dice.whole(0, world.nodes.length - 1)
  if (operation.tries > 6 && world.dice.chance(0.2)) {
    giveUp(world, client)
    return
  }
  const waitMs = known === undefined ? world.dice.whole(10, 200) : 2
  schedule(world, { kind: 'client', at: world.now + waitMs, node: number })
}

/** Nobody knows whether it has happened, or will. */
function giveUp(world: World, client: Client): void {
  const { operation } = client
  if (operation?.kind === 'write') {
    const { beginMs, key, value } = operation
    const endMs = Number.POSITIVE_INFINITY
    world.history[key]?.push({ kind: 'write', value, beginMs, endMs })
  }
  count(world, 'sim.gave-up', 0)
  finish(world, client)
}

function setTimer(world: World, client: Client): void {
  client.timerMs = client.deadlineMs
  schedule(world, { kind: 'timeout', at: client.timerMs, node: client.number })
}

/** The timer rang. An attempt that began since has more time. */
export function timeOut(world: World, client: Client): void {
  const { operation } = client
  if (operation === undefined) return
  if (client.deadlineMs > world.now) setTimer(world, client)
  else if (operation.attempt === operation.sent)
    retry(world, client.number, operation.attempt, undefined)
}

/** Operations that have no answer when the run ends. */
export function endClients(world: World): void {
  for (const client of world.clients) if (client.operation !== undefined) giveUp(world, client)
}
