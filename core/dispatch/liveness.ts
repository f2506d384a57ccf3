// Liveness: which nodes are to be called down. A node is heard of through its session's heartbeats;
// a grace without any is the verdict, a closed connection is not.
//
//   heard --grace without a word--> due --alone--> down
//                                    '--with a third of all--> unknown --15 s, in batches--> down
//
// It lives on the leader only and is not in the log: a new leader gives everybody a fresh grace.
// Lessons of the field are built in. A node that was called down and was not (it comes back as the
// same process) gets twice the grace, which shrinks again over an hour. When many nodes fall silent
// together it is the network or ourselves, so they are not replaced at once, and then not all at
// once. And a judge who overslept, or whose clock was set, blames nobody for it.

import type { NodeId } from '../base/id.ts'
import { graceHeartbeats } from '../object/lease.ts'

export interface LivenessOptions {
  readonly heartbeatMs: () => number
}

export interface Verdict {
  readonly nodeId: NodeId
  readonly state: 'down' | 'unknown'
  readonly silentMs: number
}

const graceMsMax = 60_000
/** A grace that was doubled halves again in this time. */
const forgiveMs = 30 * 60_000
/** Nodes that fall silent within this time do so together. */
const togetherMs = 3_000
const unknownMs = 15_000
/** Of those that are lost together, this part is given up at a time, and then the next. */
const batchShare = 0.2
const batchMs = 2_000
/** A verdict that comes so much later than it was due was held up here. */
const lateMsMin = 250

interface Watched {
  heardAtMs: number
  /** Which start of the agent speaks. */
  incarnation: string
  /** The grace is so many times the usual one, as of `stretchedAtMs`. */
  stretch: number
  stretchedAtMs: number
  state: 'heard' | 'unknown' | 'down'
  unknownSinceMs: number
}

export class Liveness {
  readonly #options: LivenessOptions
  readonly #nodes = new Map<NodeId, Watched>()
  /** When it was asked last, and when it wanted to be. */
  #judgedAtMs = -Infinity
  #dueAtMs: number | undefined
  /** When the next batch of those that are lost together may be given up. */
  #nextBatchAtMs = -Infinity

  constructor(options: LivenessOptions) {
    this.#options = options
  }

  /** A new leader: each of these nodes is given a fresh grace to be heard in. */
  begin(nodes: readonly NodeId[], nowMs: number): void {
    this.#nodes.clear()
    this.#judgedAtMs = nowMs
    this.#dueAtMs = undefined
    this.#nextBatchAtMs = -Infinity
    for (const id of nodes) this.#nodes.set(id, fresh('', nowMs))
  }

  /** A session was opened. `incarnation` is the same for one start of an agent. */
  open(id: NodeId, incarnation: string, nowMs: number): void {
    const had = this.#nodes.get(id)
    const watched = had ?? fresh(incarnation, nowMs)
    const wasWrong = had?.state === 'down' && had.incarnation === incarnation
    if (wasWrong) {
      watched.stretch = stretchAt(watched, nowMs) * 2
      watched.stretchedAtMs = nowMs
    }
    watched.incarnation = incarnation
    this.#nodes.set(id, watched)
    this.hear(id, nowMs)
  }

  hear(id: NodeId, nowMs: number): void {
    const watched = this.#nodes.get(id)
    if (watched === undefined) return
    watched.heardAtMs = nowMs
    watched.state = 'heard'
  }

  /** The node left in good order, or was removed. */
  forget(id: NodeId): void {
    this.#nodes.delete(id)
  }

  /** How long this node may be silent now, in milliseconds. */
  graceMs(id: NodeId, nowMs: number): number {
    const watched = this.#nodes.get(id)
    const usual = this.#options.heartbeatMs() * graceHeartbeats
    const most = Math.max(graceMsMax, usual)
    return Math.min(most, usual * (watched === undefined ? 1 : stretchAt(watched, nowMs)))
  }

  /** The nodes whose state changes now; each is named once. */
  judge(nowMs: number): readonly Verdict[] {
    this.#forgiveSleep(nowMs)
    const silent = [...this.#nodes].filter(([id, watched]) => {
      return watched.state === 'heard' && nowMs - watched.heardAtMs >= this.graceMs(id, nowMs)
    })
    const verdicts: Verdict[] = []
    const say = (id: NodeId, watched: Watched, state: 'down' | 'unknown'): void => {
      watched.state = state
      verdicts.push({ nodeId: id, state, silentMs: nowMs - watched.heardAtMs })
    }
    const isMass = this.#isMass(silent.length, nowMs)
    for (const [id, watched] of silent) {
      watched.unknownSinceMs = nowMs
      say(id, watched, isMass ? 'unknown' : 'down')
    }
    for (const [id, watched] of this.#batch(nowMs)) say(id, watched, 'down')
    return verdicts
  }

  /** When to judge again; undefined: nobody is watched. */
  wakeAtMs(nowMs: number): number | undefined {
    let atMs: number | undefined
    for (const [id, watched] of this.#nodes) {
      if (watched.state === 'down') continue
      const dueMs =
        watched.state === 'unknown'
          ? Math.max(watched.unknownSinceMs + unknownMs, this.#nextBatchAtMs)
          : watched.heardAtMs + this.graceMs(id, nowMs)
      atMs = Math.min(atMs ?? Infinity, dueMs)
    }
    this.#dueAtMs = atMs
    return atMs
  }

  /** Those whose time as unknown is over, as far as this batch takes them. */
  #batch(nowMs: number): readonly (readonly [NodeId, Watched])[] {
    if (nowMs < this.#nextBatchAtMs) return []
    const isOver = ({ state, unknownSinceMs }: Watched): boolean =>
      state === 'unknown' && nowMs - unknownSinceMs >= unknownMs
    const over = [...this.#nodes].filter(([, watched]) => isOver(watched))
    const batch = over.slice(0, Math.max(1, Math.ceil(this.#nodes.size * batchShare)))
    if (over.length > batch.length) this.#nextBatchAtMs = nowMs + batchMs
    return batch
  }

  /** Time in which this leader did not look, or that never passed, counts against nobody. */
  #forgiveSleep(nowMs: number): void {
    const sinceMs = nowMs - this.#judgedAtMs
    const isLate = this.#dueAtMs !== undefined && nowMs - this.#dueAtMs >= lateMsMin
    // Times of a clock that was set back lie ahead: they become now.
    const shiftMs = isLate ? Math.max(0, sinceMs) : 0
    this.#judgedAtMs = nowMs
    this.#dueAtMs = undefined
    if (shiftMs === 0 && sinceMs >= 0) return
    for (const watched of this.#nodes.values()) {
      watched.heardAtMs = Math.min(nowMs, watched.heardAtMs + shiftMs)
      watched.unknownSinceMs = Math.min(nowMs, watched.unknownSinceMs + shiftMs)
      watched.stretchedAtMs = Math.min(nowMs, watched.stretchedAtMs + shiftMs)
    }
    this.#nextBatchAtMs = Math.min(this.#nextBatchAtMs, nowMs + batchMs)
  }

  /** True if a third of all nodes, and at least two, are silent or were lost just now. */
  #isMass(silentCount: number, nowMs: number): boolean {
    if (silentCount === 0) return false
    let together = silentCount
    for (const [, watched] of this.#nodes) {
      const isLost = watched.state !== 'heard' && nowMs - watched.unknownSinceMs < togetherMs
      const isLate =
        watched.state === 'heard' &&
        nowMs - watched.heardAtMs >= this.#options.heartbeatMs() * 2 &&
        nowMs - watched.heardAtMs < this.#options.heartbeatMs() * graceHeartbeats
      if (isLost || isLate) together++
    }
    return together >= 2 && together * 3 >= this.#nodes.size
  }
}

function fresh(incarnation: string, nowMs: number): Watched {
  return {
    heardAtMs: nowMs,
    incarnation,
    stretch: 1,
    stretchedAtMs: nowMs,
    state: 'heard',
    unknownSinceMs: -Infinity,
  }
}

function stretchAt(watched: Watched, nowMs: number): number {
  return Math.max(1, watched.stretch / 2 ** ((nowMs - watched.stretchedAtMs) / forgiveMs))
}
