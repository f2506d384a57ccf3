// Leader line: how any manager serves clients. What it cannot decide itself it asks the leader for,
// once: a command is carried out there, a read asks how far the log is, and is served here as soon
// as this manager's store has come so far (ReadIndex, thesis section 6.4).
//
//   client --> manager --command--> leader      answered when committed
//          --> manager --index?---> leader      then read here
//
// While nobody leads, both wait for a while: an election takes less than a second. A command that
// may have been taken is never sent twice. A read does not wait where there has been no leader for
// long already: what this manager knows is then to be had as what it is, with its age.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import { noLeader } from '../../core/base/no-leader.ts'
import type { Command, CommandAnswer } from '../../core/command/command.ts'
import type { View } from '../../core/store/view.ts'
import type { PeerHandlers } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import { type Fields, readCount, readFields, readList, readText } from '../../net/wire/check.ts'
import type { Clock } from '../base/clock.ts'
import type { ManagerHost } from './manager-host.ts'
import type { Leader } from './session-router.ts'

export interface LeaderLineOptions {
  readonly host: Pick<ManagerHost, 'submit' | 'readIndex' | 'applied' | 'appliedIndex' | 'view'>
  readonly peers: Pick<Peers, 'request' | 'peer'>
  readonly leader: () => Leader
  /** On the leader: the members of raft that have answered lately. */
  readonly reachable: () => readonly string[]
  readonly clock: Clock
}

export interface LeaderLine {
  /** Resolves when committed. Throws what the command breaks, no-leader, timeout, unavailable. */
  readonly submit: (command: Command) => Promise<CommandAnswer>
  /** A view that holds all that was committed when this was called. */
  readonly read: () => Promise<View>
  /** What this manager knows by itself, and for how long it has known of no leader. */
  readonly stale: () => { readonly view: View; readonly ageMs: number }
  /** Another leader, or none. */
  readonly leaderChanged: () => void
  /** Whether the manager of this id in raft answered its leader lately, as of the last read. */
  readonly isReachable: (memberId: string) => boolean | undefined
  readonly handlers: Pick<PeerHandlers, 'requests'>
}

/** How long to wait for a leader, and for its answer. */
const leaderMsMax = 5_000
const answerMsMax = 10_000
const indexMsMax = 3_000
const pauseMs = 20

export function createLeaderLine(options: LeaderLineOptions): LeaderLine {
  const { host, peers, leader, clock } = options

  /** Does it here or there, again as long as it was certainly not done. */
  const atLeader = async <T>(
    here: () => Promise<T>,
    there: (leaderId: NodeId) => Promise<T>,
    waitsFromMs: () => number,
  ): Promise<T> => {
    for (;;) {
      const who = leader()
      let refusal: CodedError | undefined
      try {
        if (who.type === 'self') return await here()
        if (who.type === 'other') return await there(who.nodeId)
      } catch (error) {
        if (!(error instanceof CodedError) || error.detail['isUntried'] !== true) throw error
        refusal = error
      }
      if (clock.steadyMs() - waitsFromMs() > leaderMsMax) throw refusal ?? noLeader()
      await clock.sleep(pauseMs)
    }
  }
  /** A request to the leader; `isUntried` marks a refusal before anything was asked. */
  const ask = async (
    leaderId: NodeId,
    kind: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<unknown> => {
    const isConnected = peers.peer(leaderId) !== undefined
    try {
      return await peers.request(leaderId, kind, body, { timeoutMs })
    } catch (error) {
      // Where no connection stood, none was made: nothing was asked.
      const isLost = error instanceof CodedError && error.code === 'unavailable'
      if (!isLost || isConnected) throw error
      throw new CodedError('no-leader', error.message, { detail: { isUntried: true } })
    }
  }
  let reachable: readonly string[] | undefined
  const needsLeader = (): void => {
    if (leader().type === 'self') return
    const text = 'this manager does not lead'
    throw new CodedError('no-leader', text, { detail: { isUntried: true } })
  }

  let lostAtMs: number | undefined = clock.steadyMs()
  /** Asking again how far the log is does no harm. */
  const askIndex = async (leaderId: NodeId): Promise<Fields> => {
    try {
      return readFields(await ask(leaderId, 'read-index', {}, indexMsMax), 'reply')
    } catch (error) {
      if (!(error instanceof CodedError) || !lostCodes.includes(error.code)) throw error
      throw new CodedError('no-leader', error.message, { detail: { isUntried: true } })
    }
  }

  return {
    submit: (command) => {
      const beganMs = clock.steadyMs()
      return atLeader(
        () => host.submit(command),
        async (leaderId) => {
          const reply = await ask(leaderId, 'command', { command }, answerMsMax)
          const fields = readFields(reply, 'answer')
          const answer = {
            id: readText(fields, 'id', 64),
            warnings: readList(fields, 'warnings', { max: 100, item: String }),
          }
          // Who has been told that it is done finds it done here too.
          await host.applied(readCount(fields, 'index'))
          return answer
        },
        () => beganMs,
      )
    },
    read: () => {
      const beganMs = clock.steadyMs()
      return atLeader(
        async () => {
          await host.readIndex()
          reachable = options.reachable()
          return host.view
        },
        async (leaderId) => {
          const reply = await askIndex(leaderId)
          reachable = readList(reply, 'reachable', { max: 100, item: String })
          await host.applied(readCount(reply, 'index'))
          return host.view
        },
        () => lostAtMs ?? beganMs,
      )
    },
    stale: () => ({
      view: host.view,
      ageMs: lostAtMs === undefined ? 0 : Math.round(clock.steadyMs() - lostAtMs),
    }),
    leaderChanged: () => {
      if (leader().type !== 'none') lostAtMs = undefined
      else lostAtMs ??= clock.steadyMs()
    },
    isReachable: (memberId) => reachable?.includes(memberId),
    handlers: {
      requests: {
        command: {
          from: ['manager'],
          handle: async (_peer, body) => {
            needsLeader()
            const command = readFields(readFields(body, 'body')['command'], 'command')
            readText(command, 'type', 64)
            // A manager has read it from its client and holds the same keys as we do.
            const answer = await host.submit(command as unknown as Command)
            return { ...answer, index: host.appliedIndex }
          },
        },
        'read-index': {
          from: ['manager'],
          handle: async () => {
            needsLeader()
            return { index: await host.readIndex(), reachable: options.reachable() }
          },
        },
      },
    },
  }
}

const lostCodes: readonly string[] = ['unavailable', 'timeout']
