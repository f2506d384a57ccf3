// The outbox: one-way messages to one peer that have not left yet. It outlives connections, and it
// is bounded: what does not fit drops the oldest, for whoever sends one-way must bear a loss (raft
// does, heartbeats do). A message that carries a newer state of the same thing takes the place of
// the older one, so that a slow link gets the latest heartbeat and not a queue of them.
//
// Urgent messages (heartbeats, votes) leave before others; among each kind the order is kept.

import { CodedError } from '../../core/base/error.ts'
import { encodeEnvelope } from './messages.ts'

export interface SendOptions {
  /** Leaves first. Only for small, rare ones: more than 4 KiB is never urgent. */
  readonly isUrgent?: boolean
  /** An unsent message with the same word is dropped: this one says it better. */
  readonly replaces?: string
}

export interface OutboxLimits {
  readonly messagesMax: number
  readonly bytesMax: number
}

/** For one peer: a few raft appends of the largest kind, or many small messages. */
export const outboxLimits: OutboxLimits = { messagesMax: 1_024, bytesMax: 12 * 1024 * 1024 }

/** An urgent message is not larger, so that nothing waits behind it either. */
export const urgentBytesMax = 4 * 1024

interface Entry {
  readonly bytes: Uint8Array
  readonly replaces: string | undefined
}

export interface Outbox {
  /** Keeps the message until it leaves. Throws invalid-argument or too-large for one that cannot. */
  readonly push: (kind: string, body: unknown, options?: SendOptions) => void
  /** The next to leave, taken out; `isUrgent` asks for an urgent one only. */
  readonly take: (isUrgent: boolean) => Uint8Array | undefined
  readonly hasMessage: (isUrgent: boolean) => boolean
  /** Called after each push; the connection of the day sets it. */
  wake: () => void
  /** Messages dropped for want of room, and replaced by newer ones, so far. */
  readonly counts: () => { readonly dropped: number; readonly replaced: number }
}

export function createOutbox(limits: OutboxLimits = outboxLimits): Outbox {
  const urgent = new Set<Entry>()
  const ordinary = new Set<Entry>()
  const byWord = new Map<string, Entry>()
  let bytesHeld = 0
  let dropped = 0
  let replaced = 0

  const remove = (entry: Entry): void => {
    const queue = urgent.has(entry) ? urgent : ordinary
    queue.delete(entry)
    bytesHeld -= entry.bytes.length
    if (entry.replaces !== undefined) byWord.delete(entry.replaces)
  }
  const makeRoom = (): void => {
    while (
      urgent.size + ordinary.size > limits.messagesMax ||
      (bytesHeld > limits.bytesMax && urgent.size + ordinary.size > 1)
    ) {
      const oldest = firstOf(ordinary) ?? firstOf(urgent)
      if (oldest === undefined) return
      remove(oldest)
      dropped++
    }
  }
  const outbox: Outbox = {
    push: (kind, body, options = {}) => {
      const bytes = encodeEnvelope(kind, body)
      if (bytes.length > limits.bytesMax) {
        throw new CodedError(
          'too-large',
          `message ${kind} has ${bytes.length} bytes, at most ${limits.bytesMax} are allowed`,
        )
      }
      const entry: Entry = { bytes, replaces: options.replaces }
      if (options.replaces !== undefined) {
        const older = byWord.get(options.replaces)
        if (older !== undefined) {
          remove(older)
          replaced++
        }
        byWord.set(options.replaces, entry)
      }
      const isUrgent = options.isUrgent === true && bytes.length <= urgentBytesMax
      ;(isUrgent ? urgent : ordinary).add(entry)
      bytesHeld += bytes.length
      makeRoom()
      outbox.wake()
    },
    take: (isUrgent) => {
      const entry = firstOf(isUrgent ? urgent : ordinary)
      if (entry === undefined) return undefined
      remove(entry)
      return entry.bytes
    },
    hasMessage: (isUrgent) => (isUrgent ? urgent : ordinary).size > 0,
    wake: () => {},
    counts: () => ({ dropped, replaced }),
  }
  return outbox
}

/** The first that was put in: a Set keeps the order. */
function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item
  return undefined
}
