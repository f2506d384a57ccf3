// A network without sockets: pairs of Duplex, pairs of record links, and a clock that a test moves.

import { type Duplex, duplexPair } from 'node:stream'
import { CodedError } from '../../core/base/error.ts'
import type { RecordLink } from '../../net/wire/mux.ts'

/** Two ends of one pipe; when one end is destroyed, the other is too, as with TCP. */
export function memoryPipe(): readonly [Duplex, Duplex] {
  const [left, right] = duplexPair()
  left.on('close', () => right.destroy())
  right.on('close', () => left.destroy())
  for (const end of [left, right]) end.on('error', () => {})
  return [left, right]
}

/** A clock whose time passes only when a test says so. */
export interface ManualClock {
  readonly steadyMs: () => number
  readonly after: (ms: number, callback: () => void) => () => void
  readonly randomBytes: (count: number) => Uint8Array
  /** Moves on and calls what is due, in order. */
  readonly advance: (ms: number) => void
}

export function manualClock(): ManualClock {
  let nowMs = 0
  const due = new Set<{ readonly atMs: number; readonly callback: () => void }>()
  return {
    steadyMs: () => nowMs,
    after: (ms, callback) => {
      const row = { atMs: nowMs + ms, callback }
      due.add(row)
      return () => void due.delete(row)
    },
    randomBytes: (count) => new Uint8Array(count),
    advance: (ms) => {
      const end = nowMs + ms
      for (;;) {
        const next = [...due].filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined) break
        nowMs = Math.max(nowMs, next.atMs)
        due.delete(next)
        next.callback()
      }
      nowMs = end
    },
  }
}

type Listener = Parameters<RecordLink['listen']>[0]

/** One end of a pair of links whose records move only when a test says so. */
export interface MemoryLink extends RecordLink {
  /** Records that wait to be delivered to the other end. */
  readonly waiting: Uint8Array[]
  /** Delivers the next one to the other end; false if there is none. */
  readonly deliver: () => boolean
  /** Cuts both directions at once. */
  readonly cut: () => void
}

/**
 * Two links, each of which takes one record at a time: `onSent` comes when that one was delivered,
 * as from a socket whose buffer is full.
 */
export function memoryLinks(): readonly [MemoryLink, MemoryLink] {
  const ends = [makeEnd(), makeEnd()] as const
  const link = (index: 0 | 1): MemoryLink => {
    const [own, other] = index === 0 ? ends : [ends[1], ends[0]]
    const close = (error: CodedError | undefined): void => {
      if (own.isClosed) return
      own.isClosed = true
      own.listener?.onClose(error)
    }
    return {
      waiting: own.waiting,
      send: (record, onSent) => {
        if (own.isClosed) return
        own.waiting.push(record)
        own.sent.push(onSent)
      },
      listen: (listener) => {
        own.listener = listener
      },
      deliver: () => {
        const record = own.waiting.shift()
        if (record === undefined) return false
        other.listener?.onRecord(record)
        own.sent.shift()?.()
        return true
      },
      close: () => {
        for (const record of own.waiting.splice(0)) other.listener?.onRecord(record)
        close(undefined)
        if (!other.isClosed) links[index === 0 ? 1 : 0].close()
      },
      destroy: (error) => {
        close(error)
        if (!other.isClosed) links[index === 0 ? 1 : 0].cut()
      },
      cut: () => {
        close(new CodedError('unavailable', 'the connection was cut'))
        if (!other.isClosed) links[index === 0 ? 1 : 0].cut()
      },
    }
  }
  const links: readonly [MemoryLink, MemoryLink] = [link(0), link(1)]
  return links
}

interface End {
  readonly waiting: Uint8Array[]
  readonly sent: (() => void)[]
  listener: Listener | undefined
  isClosed: boolean
}

function makeEnd(): End {
  return { waiting: [], sent: [], listener: undefined, isClosed: false }
}
