// Several managers: manager machines with a clock and a disk each, and letters that arrive after ten
// milliseconds of virtual time unless a manager is cut off. Disks are durable at once.

import { CodedError } from '../../../core/base/error.ts'
import { asId, type ClusterId, makeId, type NodeId } from '../../../core/base/id.ts'
import { numberedRandom, type Random } from '../../../core/base/random.ts'
import type { Command, CommandAnswer } from '../../../core/command/command.ts'
import {
  type ManagerEffect,
  type ManagerEvent,
  ManagerMachine,
} from '../../../core/machine/manager.ts'
import { defaultClusterSpec } from '../../../core/object/defaults.ts'
import { bootstrapState, joinState } from '../../../core/raft/birth.ts'
import { raftLimits } from '../../../core/raft/limits.ts'
import { createRaft } from '../../../core/raft/raft.ts'
import type { Entry, Fate, Restored } from '../../../core/raft/types.ts'

const tickMs = 100
const letterMs = 10
const epoch = { counter: 1, id: 'e', parent: undefined }

/** One manager, and what a test may look at. */
export interface Manager {
  readonly id: string
  readonly machine: ManagerMachine
  /** Its clock is so far ahead of the test's. */
  readonly aheadMs: number
  isCut: boolean
  fate: Fate | undefined
  tickedAtMs: number
  hardState: Restored['hardState']
  entries: readonly Entry[]
  readonly answers: Map<number, CommandAnswer | CodedError>
}

export class SeveralManagers {
  nowMs = 1_000_000
  readonly #random: Random = numberedRandom(7)
  readonly #managers = new Map<string, Manager>()
  #queue: { readonly atMs: number; readonly run: () => void }[] = []
  #requestId = 0

  /** A cluster of these managers; `aheadMs` of some of their clocks. */
  constructor(ids: readonly string[], aheadMs: Readonly<Record<string, number>> = {}) {
    const [first = 'n1', ...others] = ids
    const members = [{ id: first, address: addressOf(first), isVoter: true }]
    const membership = { members, removed: [] }
    this.add(first, { restored: bootstrapState({ membership, epoch }), aheadMs: aheadMs[first] })
    this.advance(3_000)
    this.submit(first, {
      type: 'cluster.init',
      clusterId: makeId<ClusterId>(this.#random),
      spec: defaultClusterSpec,
      key: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32) },
      joinSecrets: { worker: 'w', manager: 'm' },
      node: {
        id: asId<NodeId>(first),
        keys: { worker: new Uint8Array(32), manager: new Uint8Array(32) },
        address: '10.0.0.1',
        managerAddress: addressOf(first),
        availability: 'active',
      },
      defaultAddressPool: ['10.0.0.0/8'],
      subnetSize: 24,
      dataPathPort: 2377,
    })
    for (const id of others) {
      this.submit(first, joinOf(id))
      this.add(id, { restored: joinState(epoch), aheadMs: aheadMs[id] })
      this.advance(3_000)
    }
  }

  manager(id: string): Manager {
    const found = this.#managers.get(id)
    if (found === undefined) throw new Error(`no manager ${id}`)
    return found
  }

  /** The one that leads and takes commands. */
  leader(): Manager {
    const all = [...this.#managers.values()]
    const found = all.find(({ machine, isCut }) => machine.isReady && !isCut)
    if (found === undefined) throw new Error('nobody leads')
    return found
  }

  /** Starts a manager, perhaps in the place of an earlier one of that id. */
  add(
    id: string,
    how: { readonly restored: Restored; readonly aheadMs?: number | undefined },
  ): void {
    const { restored, aheadMs = 0 } = how
    const machine = new ManagerMachine({
      raft: createRaft(
        { id, heartbeatTicks: 1, electionTicks: 5, limits: raftLimits, random: this.#random },
        restored,
      ),
      random: this.#random,
    })
    const manager: Manager = {
      ...{ id, machine, aheadMs, isCut: false, fate: undefined, tickedAtMs: this.nowMs },
      hardState: restored.hardState,
      entries: restored.entries,
      answers: new Map(),
    }
    this.#managers.set(id, manager)
    this.#step(manager, { type: 'started', nowMs: this.#timeOf(manager) })
  }

  /** What the manager's disk holds. */
  stored(id: string): Restored {
    const { hardState, entries } = this.manager(id)
    return { hardState, snapshot: undefined, entries }
  }

  remove(id: string): void {
    this.#managers.delete(id)
  }

  /** Hands a command over and lets no time pass; ask for the answer later. */
  post(id: string, command: Command): number {
    const requestId = ++this.#requestId
    const manager = this.manager(id)
    this.#step(manager, {
      ...{ type: 'submitted', nowMs: this.#timeOf(manager), requestId, command },
    })
    return requestId
  }

  handOver(id: string): void {
    const manager = this.manager(id)
    this.#step(manager, { type: 'transferRequested', nowMs: this.#timeOf(manager) })
  }

  answer(id: string, requestId: number): CommandAnswer | CodedError | undefined {
    return this.manager(id).answers.get(requestId)
  }

  submit(id: string, command: Command): CommandAnswer {
    const requestId = this.post(id, command)
    this.advance(1_000)
    const answer = this.answer(id, requestId)
    if (answer instanceof CodedError) throw answer
    if (answer === undefined) throw new Error(`${command.type} was not answered`)
    return answer
  }

  advance(ms: number): void {
    const untilMs = this.nowMs + ms
    while (this.nowMs < untilMs) {
      this.nowMs += letterMs
      const due = this.#queue.filter(({ atMs }) => atMs <= this.nowMs)
      this.#queue = this.#queue.filter(({ atMs }) => atMs > this.nowMs)
      for (const { run } of due) run()
      for (const manager of [...this.#managers.values()]) this.#tick(manager)
    }
  }

  #tick(manager: Manager): void {
    const ticks = Math.floor((this.nowMs - manager.tickedAtMs) / tickMs)
    if (ticks === 0) return
    manager.tickedAtMs += ticks * tickMs
    this.#step(manager, { type: 'ticked', nowMs: this.#timeOf(manager), ticks })
  }

  #timeOf(manager: Manager): number {
    return this.nowMs + manager.aheadMs
  }

  #step(manager: Manager, event: ManagerEvent): void {
    for (const effect of manager.machine.step(event)) this.#carryOut(manager, effect)
  }

  #carryOut(manager: Manager, effect: ManagerEffect): void {
    switch (effect.type) {
      case 'save': {
        const { hardState, entries, id: operation } = effect.operation
        if (hardState !== undefined) manager.hardState = hardState
        const [from] = entries ?? []
        if (from !== undefined) {
          const kept = manager.entries.filter(({ index }) => index < from.index)
          manager.entries = [...kept, ...(entries ?? [])]
        }
        this.#later(manager, () => ({
          ...{ type: 'persisted', nowMs: this.#timeOf(manager), operation },
        }))
        return
      }
      case 'send': {
        const { to, message } = effect.outgoing
        if (manager.isCut) return
        this.#queue.push({
          atMs: this.nowMs + letterMs,
          run: () => {
            const other = this.#managers.get(to)
            if (other === undefined || other.isCut) return
            const nowMs = this.#timeOf(other)
            this.#step(other, { type: 'received', nowMs, from: manager.id, message })
          },
        })
        return
      }
      case 'answer':
        manager.answers.set(effect.requestId, effect.answer)
        return
      case 'refuse':
        manager.answers.set(effect.requestId, effect.error)
        return
      case 'fate':
        manager.fate = effect.fate
        return
      default:
        return
    }
  }

  #later(manager: Manager, event: () => ManagerEvent): void {
    const run = (): void => {
      if (this.#managers.get(manager.id) === manager) this.#step(manager, event())
    }
    this.#queue.push({ atMs: this.nowMs, run })
  }
}

/** The command by which a manager joins. */
export function joinOf(id: string): Command {
  return {
    type: 'node.join',
    id: asId<NodeId>(id),
    role: 'manager',
    keys: { worker: new Uint8Array(32).fill(1), manager: new Uint8Array(32).fill(2) },
    managerAddress: addressOf(id),
    address: '10.0.0.2',
    availability: 'active',
  }
}

function addressOf(id: string): string {
  return `${id}.example:2377`
}
