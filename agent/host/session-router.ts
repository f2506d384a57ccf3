// Session router: a manager's end of the sessions. Each node has one session, with any manager; that
// manager is its gateway. The leader's machine wants to hear of all of them:
//
//   node --session--> gateway --relay--> leader      (gateway and leader may be the same manager,
//                                                     and the node its own gateway)
//
//   attached   on the gateway: the sessions that stand with us
//   routes     on the leader: through which gateway each node is reached
//
// Both are forgotten when leadership changes; the gateway tells its nodes, and they open again.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Assignments } from '../../core/dispatch/protocol.ts'
import type { ManagerEvent } from '../../core/machine/manager.ts'
import type { PeerHandlers } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import type { PeerRole } from '../../net/secure/handshake.ts'
import { readCount, readFields, readFlag, readText } from '../../net/wire/check.ts'
import {
  type RelayBeats,
  type RelayPulses,
  readAssign,
  readNodeId,
  readRelayBeats,
  readSessionOpen,
  readSessionReport,
  type SessionAssign,
  type SessionOpen,
  type SessionPulse,
  type SessionReport,
  type SessionWelcome,
} from '../../net/wire/session-messages.ts'
import type { Clock } from '../base/clock.ts'
import { createBeatRelay } from './beat-relay.ts'

/** Who leads, as this manager knows it. */
export type Leader =
  | { readonly type: 'none' }
  | { readonly type: 'self' }
  | { readonly type: 'other'; readonly nodeId: NodeId }

/** The worker of this very process. */
export interface LocalWorker {
  readonly assign: (message: SessionAssign) => void
  /** The leader has changed. */
  readonly moved: () => void
}

export interface SessionRouterOptions {
  readonly ownId: NodeId
  readonly peers: Pick<Peers, 'send' | 'request'>
  readonly leader: () => Leader
  /** True if the leader's log, which is here then, knows the node. */
  readonly isKnown: (nodeId: NodeId) => boolean
  /** Hands an event to the manager machine. */
  readonly dispatch: (event: ManagerEvent) => void
  readonly clock: Clock
  /** True on a leader that certainly has no successor yet. */
  readonly isQuorate: () => boolean
  /** How often nodes are to send a heartbeat. */
  readonly heartbeatMs: () => number
  /** Throws if this manager and the node are not of one line of descent. */
  readonly checkEpoch: (nodeId: NodeId, open: SessionOpen) => void
  /** What this manager tells a node besides. */
  readonly welcome: (nodeId: NodeId, open: SessionOpen) => Omit<SessionWelcome, keyof Admission>
  /** Resolves when the table of this manager knows the node. Throws permission-denied. */
  readonly awaitMember: (nodeId: NodeId) => Promise<void>
  readonly local: LocalWorker
  readonly log: Log
}

export interface SessionRouter {
  readonly handlers: Pick<PeerHandlers, 'messages' | 'requests'>
  /** The same for the worker of this process. Throws no-leader, unavailable. */
  readonly open: (nodeId: NodeId, open: SessionOpen) => Promise<SessionWelcome>
  readonly beat: (nodeId: NodeId, session: string) => Promise<SessionPulse>
  readonly report: (nodeId: NodeId, report: SessionReport) => void
  readonly leave: (nodeId: NodeId) => Promise<void>
  /** The machine's word for a node. */
  readonly assign: (nodeId: NodeId, assignments: Assignments) => void
  /** On the leader: the node's next heartbeat is told to open a new one. */
  readonly endSession: (nodeId: NodeId) => void
  /** Another leader, or none: sessions are to be opened again. */
  readonly leaderChanged: () => void
  /** Sends a message to every node whose session stands with us. */
  readonly tellAttached: (kind: string, body: unknown) => void
  /** No connection to the node is left; its session may come back elsewhere. */
  readonly detach: (nodeId: NodeId) => void
}

/** What the leader says of a session that was opened. */
type Admission = Pick<SessionWelcome, 'heartbeatMs' | 'isQuorate'>

interface Route {
  readonly via: NodeId
  readonly session: string
  /** The start of its agent that has the session, and those that had it before. */
  readonly incarnation: string
  readonly earlier: readonly string[]
  seq: number
}

/** Earlier starts of a node's agent that are remembered. */
const earlierMax = 8

const relayTimeoutMs = 3_000
const members: readonly PeerRole[] = ['manager', 'worker']
/** Also those who have just joined, and are not in our table yet. */
const anybody: readonly PeerRole[] = ['manager', 'worker', 'newcomer']

export function createSessionRouter(options: SessionRouterOptions): SessionRouter {
  const { ownId, peers, leader, dispatch, clock, isQuorate } = options
  const { nowMs } = clock
  const attached = new Map<NodeId, string>()
  const routes = new Map<NodeId, Route>()

  /** On the leader: the session is the node's one from now on. */
  const accept = (nodeId: NodeId, via: NodeId, open: SessionOpen): Admission => {
    if (!options.isKnown(nodeId)) {
      const text = `node ${nodeId} is not a member of this cluster`
      throw new CodedError('not-found', text, { detail: { isExpelled: true } })
    }
    const isLocal = nodeId === ownId
    const { session, incarnation: start } = open
    const earlier = earlierStarts(routes.get(nodeId), nodeId, start)
    routes.set(nodeId, { via, session, incarnation: start, earlier, seq: 0 })
    const { incarnation, description, address, reports, sentAtMs, fault, manager, trustedKey } =
      open
    dispatch({
      ...{ type: 'sessionOpened', nowMs: nowMs(), nodeId, incarnation, isLocal },
      ...{ description, address, reports, sentAtMs },
      ...(fault === undefined ? {} : { fault }),
      ...(trustedKey === undefined ? {} : { trustedKey }),
      ...(manager === undefined ? {} : { manager }),
    })
    return { heartbeatMs: options.heartbeatMs(), isQuorate: isQuorate() }
  }
  const routeOf = (nodeId: NodeId, session: string): Route => {
    const route = routes.get(nodeId)
    if (route?.session === session) return route
    throw new CodedError('conflict', `node ${nodeId} has no such session with this manager`)
  }
  const hear = (nodeId: NodeId, session: string): number => {
    const { seq } = routeOf(nodeId, session)
    if (nodeId !== ownId) dispatch({ type: 'heard', nowMs: nowMs(), nodeId })
    return seq
  }
  const hearAll = (beats: RelayBeats['beats']): RelayPulses => {
    const seqs = beats.map(({ nodeId, session }) =>
      routes.get(nodeId)?.session === session ? hear(nodeId, session) : -1,
    )
    return { seqs, isQuorate: isQuorate() }
  }
  /** A report of a session that is over says nothing: the next one opens with all of them. */
  const take = (nodeId: NodeId, { session, reports, sentAtMs }: SessionReport): void => {
    if (routes.get(nodeId)?.session !== session) return
    dispatch({ type: 'reported', nowMs: nowMs(), nodeId, reports, sentAtMs })
  }
  const end = (nodeId: NodeId): void => {
    routes.delete(nodeId)
    dispatch({ type: 'sessionClosed', nowMs: nowMs(), nodeId, isLeaving: true })
  }
  const relay = (to: NodeId, kind: string, body: unknown): Promise<unknown> =>
    peers.request(to, kind, body, { timeoutMs: relayTimeoutMs })
  /** Sends it to the leader, or does it here if that is us. */
  const atLeader = async <T>(here: () => T, there: (to: NodeId) => Promise<T>): Promise<T> => {
    const who = leader()
    if (who.type === 'self') return here()
    if (who.type === 'other') return there(who.nodeId)
    throw new CodedError('no-leader', 'no manager leads at present')
  }
  const deliver = (nodeId: NodeId, message: SessionAssign): void => {
    if (nodeId === ownId) options.local.assign(message)
    else if (attached.get(nodeId) === message.session) {
      peers.send(nodeId, 'session.assign', message)
    }
  }

  const open = async (nodeId: NodeId, said: SessionOpen): Promise<SessionWelcome> => {
    await options.awaitMember(nodeId)
    options.checkEpoch(nodeId, said)
    // Before the leader hears of it: what it sends comes through here at once.
    attached.set(nodeId, said.session)
    const admission = await atLeader(
      () => accept(nodeId, ownId, said),
      async (to) => {
        const reply = readFields(await relay(to, 'relay.open', { nodeId, ...said }), 'reply')
        return {
          heartbeatMs: readCount(reply, 'heartbeatMs'),
          isQuorate: readFlag(reply, 'isQuorate'),
        }
      },
    )
    return { ...admission, ...options.welcome(nodeId, said) }
  }
  const beatRelay = createBeatRelay({ clock, relay: (to, body) => relay(to, 'relay.beats', body) })
  const beat = (nodeId: NodeId, session: string): Promise<SessionPulse> =>
    atLeader(
      () => ({ seq: hear(nodeId, session), isQuorate: isQuorate() }),
      (to) => beatRelay(to, { nodeId, session }),
    )
  const report = (nodeId: NodeId, said: SessionReport): void => {
    const who = leader()
    if (who.type === 'self') take(nodeId, said)
    else if (who.type === 'other') {
      peers.send(who.nodeId, 'relay.report', { nodeId, ...said })
    }
  }
  const leave = (nodeId: NodeId): Promise<void> =>
    atLeader(
      () => end(nodeId),
      async (to) => void (await relay(to, 'relay.leave', { nodeId })),
    )
  const needsLeader = (): void => {
    if (leader().type !== 'self') {
      throw new CodedError('no-leader', 'this manager does not lead')
    }
  }

  return {
    open,
    beat,
    report,
    leave,
    assign: (nodeId, assignments) => {
      const route = routes.get(nodeId)
      if (route === undefined) return
      route.seq++
      const message = { session: route.session, seq: route.seq, assignments }
      if (route.via === ownId) deliver(nodeId, message)
      else peers.send(route.via, 'relay.assign', { nodeId, ...message })
    },
    endSession: (nodeId) => routes.delete(nodeId),
    leaderChanged: () => {
      routes.clear()
      for (const [nodeId, session] of attached) {
        if (nodeId === ownId) options.local.moved()
        else peers.send(nodeId, 'session.moved', { session })
      }
    },
    tellAttached: (kind, body) => {
      for (const nodeId of attached.keys()) {
        if (nodeId !== ownId) peers.send(nodeId, kind, body)
      }
    },
    detach: (nodeId) => attached.delete(nodeId),
    handlers: {
      requests: {
        'session.open': {
          from: anybody,
          handle: (peer, body) => open(peer.nodeId, readSessionOpen(body)),
        },
        'session.beat': {
          from: members,
          handle: async (peer, body) => {
            const session = readText(readFields(body, 'beat'), 'session', 64)
            return beat(peer.nodeId, session)
          },
        },
        'session.leave': { from: members, handle: (peer) => leave(peer.nodeId) },
        'relay.open': {
          from: ['manager'],
          handle: async (peer, body) => {
            needsLeader()
            const nodeId = readNodeId(readFields(body, 'relay'), 'nodeId')
            return accept(nodeId, peer.nodeId, readSessionOpen(body))
          },
        },
        'relay.beats': {
          from: ['manager'],
          handle: async (_peer, body) => {
            needsLeader()
            return hearAll(readRelayBeats(body))
          },
        },
        'relay.leave': {
          from: ['manager'],
          handle: async (_peer, body) => {
            needsLeader()
            end(readNodeId(readFields(body, 'relay'), 'nodeId'))
          },
        },
      },
      messages: {
        'session.report': {
          from: members,
          handle: (peer, body) => {
            report(peer.nodeId, readSessionReport(body))
          },
        },
        'relay.report': {
          from: ['manager'],
          handle: (_peer, body) => {
            needsLeader()
            const nodeId = readNodeId(readFields(body, 'relay'), 'nodeId')
            take(nodeId, readSessionReport(body))
          },
        },
        'relay.assign': {
          from: ['manager'],
          handle: (_peer, body) => {
            const nodeId = readNodeId(readFields(body, 'relay'), 'nodeId')
            deliver(nodeId, readAssign(body))
          },
        },
      },
    },
  }
}

/**
 * The starts of this node's agent before this one. Throws permission-denied for one of them: a later
 * one has taken its place, so two agents run with one state folder.
 */
function earlierStarts(
  route: Route | undefined,
  nodeId: NodeId,
  incarnation: string,
): readonly string[] {
  if (route === undefined) return []
  const { earlier, incarnation: current } = route
  if (current === incarnation) return earlier
  if (!earlier.includes(incarnation)) return [...earlier, current].slice(-earlierMax)
  const text = `node ${nodeId} runs twice: a later start of its agent holds the session; if its state folder was copied, remove one of the two and let it join afresh`
  throw new CodedError('permission-denied', text, { detail: { isExpelled: true } })
}
