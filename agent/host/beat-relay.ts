// Beat relay: a gateway's heartbeats of many nodes travel to the leader together. One request in
// 50 ms costs the leader the same whether a gateway has ten workers or a thousand.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import {
  beatsMax,
  type RelayBeats,
  readRelayPulses,
  type SessionPulse,
} from '../../net/wire/session-messages.ts'
import type { Clock } from '../base/clock.ts'

export interface BeatRelayOptions {
  readonly clock: Pick<Clock, 'after'>
  readonly relay: (to: NodeId, body: RelayBeats) => Promise<unknown>
}

interface Waiting {
  readonly beat: RelayBeats['beats'][number]
  readonly resolve: (pulse: SessionPulse) => void
  readonly reject: (error: unknown) => void
}

/** How long the first heartbeat waits for others: little of a grace of seconds. */
const companyMs = 50

/** Relays a heartbeat to the leader; resolves with its answer. Throws conflict, unavailable. */
export function createBeatRelay(
  options: BeatRelayOptions,
): (to: NodeId, beat: RelayBeats['beats'][number]) => Promise<SessionPulse> {
  const queues = new Map<NodeId, Waiting[]>()

  const send = async (to: NodeId): Promise<void> => {
    const waiting = queues.get(to) ?? []
    queues.delete(to)
    try {
      const reply = await options.relay(to, { beats: waiting.map(({ beat }) => beat) })
      const { seqs, isQuorate } = readRelayPulses(reply)
      for (const [index, { beat, resolve, reject }] of waiting.entries()) {
        const seq = seqs[index] ?? -1
        if (seq >= 0) resolve({ seq, isQuorate })
        else reject(new CodedError('conflict', `node ${beat.nodeId} has no such session`))
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error)
    }
  }
  return (to, beat) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(to)
      const waiting = { beat, resolve, reject }
      if (queue === undefined) {
        queues.set(to, [waiting])
        options.clock.after(companyMs, () => void send(to))
      } else if (queue.length < beatsMax) queue.push(waiting)
      else reject(new CodedError('resource-exhausted', `${beatsMax} heartbeats wait to be relayed`))
    })
}
