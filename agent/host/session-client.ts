// Session client: a node's end of its session. It holds one with some manager, its own first if it is
// one itself, and moves to another at once when that one goes, or does not answer in time.
//
//   choose a manager --> open --> open, heartbeats --lost, moved, a gap--> choose again
//        ^                |fails
//        '--- pause <-----'

import { CodedError } from '../../core/base/error.ts'
import type { NodeId, TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Assignments } from '../../core/dispatch/protocol.ts'
import type { TaskReport } from '../../core/object/task.ts'
import type { PeerHandlers } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import { readTableChange, type TableChange } from '../../net/secure/signed-table.ts'
import { readFields, readText } from '../../net/wire/check.ts'
import {
  readAssign,
  readPulse,
  readWelcome,
  type SessionAssign,
  type SessionOpen,
  type SessionPulse,
  type SessionWelcome,
} from '../../net/wire/session-messages.ts'
import type { Clock } from '../base/clock.ts'
import type { LocalWorker, SessionRouter } from './session-router.ts'

export interface SessionClientOptions {
  readonly ownId: NodeId
  readonly peers: Pick<Peers, 'send' | 'request' | 'peer'>
  /** The managers, in any order. */
  readonly managers: () => readonly NodeId[]
  /** This node's own router while it is a manager. */
  readonly router: () => SessionRouter | undefined
  /** What to open with; undefined while it is not known yet. */
  readonly say: () => Omit<SessionOpen, 'session' | 'sentAtMs'> | undefined
  readonly onWelcome: (welcome: SessionWelcome) => void
  readonly onAssign: (assignments: Assignments) => void
  readonly onTable: (change: TableChange) => void
  /** `silentMs`: how long ago the last heartbeat left that was answered. */
  readonly onReached: (isReached: boolean, silentMs: number) => void
  /** The cluster has answered, as of what left at that time (Clock.bootMs). */
  readonly onLease: (sentAtMs: number, heartbeatMs: number) => void
  /**
   * A manager does not take this node for what it says it is. `isFinal`: the leader has said so, or
   * it was told that this node runs twice.
   */
  readonly onRefused: (manager: NodeId, error: CodedError, isFinal: boolean) => void
  readonly clock: Clock
  readonly log: Log
}

export interface SessionClient extends LocalWorker {
  readonly handlers: Pick<PeerHandlers, 'messages'>
  /** Begins to look for a manager. */
  readonly start: () => void
  /** Drops reports while there is no session: the next one opens with all of them. */
  readonly report: (reports: readonly TaskReport[]) => void
  /** Something to say has changed: open again. */
  readonly renew: () => void
  /** Our gateway is gone, perhaps. */
  readonly peerDown: (nodeId: NodeId) => void
  /** Says good-bye for good. Throws what the managers say. */
  readonly leave: () => Promise<void>
  readonly isOpen: () => boolean
  readonly close: () => void
}

interface Session {
  readonly id: string
  readonly gateway: NodeId
  seq: number
  /** What became of tasks while it is being opened: it counts only once the leader knows of it. */
  held: Map<TaskId, TaskReport> | undefined
}

const openTimeoutMs = 4_000
const pauseMsMin = 50
const pauseMsMax = 2_000
/** Half of the usual grace: time is left to open with another manager. */
const beatTimeoutMsMin = 1_500
/** On a slow link: so many round trips, as they were lately. */
const beatTimeoutTrips = 4
/** Without any assignment for so many heartbeats, those that are missing are lost. */
const gapHeartbeats = 10

export function createSessionClient(options: SessionClientOptions): SessionClient {
  const { ownId, peers, clock, log } = options
  const closing = new AbortController()
  let session: Session | undefined
  let isOpen = false
  let interrupt = new AbortController()
  let failures = 0
  let answeredAtMs = clock.bootMs()
  let roundTripMs = 0
  /** The last gateway that failed, which is not tried first. */
  let avoided: NodeId | undefined

  const choose = (): NodeId | undefined => {
    const managers = options.managers().filter((id) => id !== ownId)
    const isOwn = options.router() !== undefined
    const candidates = isOwn ? [ownId, ...managers] : managers
    if (candidates.length === 0) return undefined
    const fresh = candidates.filter((id) => id !== avoided)
    const pool = fresh.length > 0 ? fresh : candidates
    if (isOwn && pool.includes(ownId)) return ownId
    const connected = pool.filter((id) => peers.peer(id) !== undefined)
    const from = connected.length > 0 ? connected : pool
    return from[(clock.randomBytes(1)[0] ?? 0) % from.length]
  }
  const ask = async (gateway: NodeId, said: SessionOpen): Promise<SessionWelcome> => {
    const router = gateway === ownId ? options.router() : undefined
    if (router !== undefined) return router.open(ownId, said)
    return readWelcome(
      await peers.request(gateway, 'session.open', said, { timeoutMs: openTimeoutMs }),
    )
  }
  const beat = async (current: Session, timeoutMs: number): Promise<SessionPulse> => {
    const router = current.gateway === ownId ? options.router() : undefined
    if (router !== undefined) return router.beat(ownId, current.id)
    const body = { session: current.id }
    const reply = await peers.request(current.gateway, 'session.beat', body, { timeoutMs })
    return readPulse(reply)
  }
  const answered = (
    sentAtMs: number,
    answer: SessionPulse | SessionWelcome,
    every: number,
  ): void => {
    answeredAtMs = Math.max(answeredAtMs, sentAtMs)
    roundTripMs += (clock.bootMs() - sentAtMs - roundTripMs) / 4
    if (answer.isQuorate) options.onLease(sentAtMs, every)
  }
  /** True if the whole time has passed. */
  const wait = async (ms: number): Promise<boolean> => {
    const signal = AbortSignal.any([closing.signal, interrupt.signal])
    if (signal.aborted) return false
    return clock.sleep(ms, signal).then(
      () => true,
      () => false,
    )
  }
  const disturb = (): void => {
    const old = interrupt
    interrupt = new AbortController()
    old.abort()
  }

  const openOnce = async (gateway: NodeId): Promise<SessionWelcome | undefined> => {
    const said = options.say()
    if (said === undefined) return undefined
    const id = Buffer.from(clock.randomBytes(8)).toString('hex')
    session = { id, gateway, seq: 0, held: new Map() }
    const sentAtMs = clock.bootMs()
    const welcome = await ask(gateway, { session: id, sentAtMs: clock.nowMs(), ...said })
    if (session?.id === id) answered(sentAtMs, welcome, welcome.heartbeatMs)
    return welcome
  }
  /** Beats until the session is no good any more; does not wait for one answer before the next. */
  const hold = async (current: Session, heartbeatMs: number): Promise<void> => {
    let failure: unknown
    let told = { seq: 0, atMs: clock.steadyMs() }
    const once = async (): Promise<void> => {
      const timeoutMs = Math.max(beatTimeoutMsMin, heartbeatMs, beatTimeoutTrips * roundTripMs)
      const sentAtMs = clock.bootMs()
      const pulse = await beat(current, timeoutMs)
      answered(sentAtMs, pulse, heartbeatMs)
      if (current.seq >= pulse.seq || current.seq > told.seq) {
        told = { seq: current.seq, atMs: clock.steadyMs() }
      } else if (clock.steadyMs() - told.atMs > gapHeartbeats * heartbeatMs) {
        throw new CodedError('unavailable', 'assignments were lost on the way')
      }
    }
    while (session === current && failure === undefined) {
      if (!(await wait(heartbeatMs)) || session !== current) break
      once().catch((error: unknown) => {
        failure ??= error
        if (session === current) disturb()
      })
    }
    if (session === current && failure !== undefined) throw failure
  }
  const lose = (gateway: NodeId, error: unknown): void => {
    session = undefined
    avoided = gateway
    if (isOpen) {
      isOpen = false
      log('info', 'session.lost', { manager: gateway, reason: textOf(error) })
      options.onReached(false, clock.bootMs() - answeredAtMs)
    }
  }
  const tell = ({ id, gateway }: Session, reports: readonly TaskReport[]): void => {
    const router = gateway === ownId ? options.router() : undefined
    const said = { session: id, reports, sentAtMs: clock.nowMs() }
    if (router !== undefined) router.report(ownId, said)
    else peers.send(gateway, 'session.report', said)
  }
  const once = async (): Promise<void> => {
    const gateway = choose()
    if (gateway === undefined || options.say() === undefined) {
      await wait(pauseMsMax)
      return
    }
    let current: Session | undefined
    try {
      const opening = openOnce(gateway)
      current = session
      const welcome = await opening
      if (welcome === undefined || current === undefined || session !== current) return
      failures = 0
      avoided = undefined
      const held = [...(current.held?.values() ?? [])]
      current.held = undefined
      if (held.length > 0) tell(current, held)
      options.onWelcome(welcome)
      if (!isOpen) {
        isOpen = true
        log('info', 'session.open', { manager: gateway })
        options.onReached(true, 0)
      }
      await hold(current, welcome.heartbeatMs)
    } catch (error) {
      if (closing.signal.aborted) return
      if (!(error instanceof CodedError)) throw error
      // It was given up meanwhile: what became of it says nothing of the next one.
      if (session !== current) return
      const refusal = refusalIn(error)
      if (refusal !== undefined) {
        options.onRefused(gateway, refusal, refusal.detail['isExpelled'] === true)
      }
      if (failures === 0 && !isOpen) {
        log('info', 'session.refused', { manager: gateway, reason: error.message })
      }
      lose(gateway, error)
      failures++
      const most = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(failures - 1, 10))
      const jitter = 0.5 + ((clock.randomBytes(1)[0] ?? 0) / 255) * 0.5
      await wait(most * jitter)
    }
  }
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) await once()
  }
  const assign = (message: SessionAssign): void => {
    if (session?.id !== message.session) return
    if (message.seq !== session.seq + 1) {
      log('warn', 'session.gap', { expected: session.seq + 1, came: message.seq })
      session = undefined
      disturb()
      return
    }
    session.seq = message.seq
    options.onAssign(message.assignments)
  }
  const moved = (): void => {
    avoided = undefined
    failures = 0
    session = undefined
    disturb()
  }
  return {
    start: () => void run(),
    assign,
    moved,
    renew: moved,
    report: (reports) => {
      if (session === undefined) return
      if (session.held === undefined) tell(session, reports)
      else for (const report of reports) session.held.set(report.id, report)
    },
    peerDown: (nodeId) => {
      if (session?.gateway !== nodeId) return
      lose(nodeId, 'its connection has ended')
      disturb()
    },
    leave: async () => {
      const gateway = session?.gateway ?? choose()
      // Who has said good-bye does not open again.
      session = undefined
      closing.abort()
      if (gateway === undefined) throw new CodedError('unavailable', 'no manager is known')
      const router = gateway === ownId ? options.router() : undefined
      if (router !== undefined) await router.leave(ownId)
      else await peers.request(gateway, 'session.leave', {}, { timeoutMs: openTimeoutMs })
    },
    isOpen: () => isOpen,
    close: () => closing.abort(),
    handlers: {
      messages: {
        'session.assign': {
          from: ['manager', 'newcomer'],
          handle: (peer, body) => {
            if (session?.gateway === peer.nodeId) assign(readAssign(body))
          },
        },
        'session.moved': {
          from: ['manager', 'newcomer'],
          handle: (peer, body) => {
            const id = readText(readFields(body, 'moved'), 'session', 64)
            if (session?.gateway === peer.nodeId && session.id === id) moved()
          },
        },
        'session.table': {
          from: ['manager', 'newcomer'],
          handle: (_peer, body) => options.onTable(readTableChange(body)),
        },
      },
    },
  }
}

/** The word of a manager that this node is not, or no longer, what it says; also behind a failed dial. */
function refusalIn(error: CodedError): CodedError | undefined {
  for (let each: unknown = error; each instanceof CodedError; each = each.cause) {
    if (each.code === 'not-a-member' || each.detail['isExpelled'] === true) return each
  }
  return undefined
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
