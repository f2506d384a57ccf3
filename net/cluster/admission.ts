// Admission: who may knock, and how often we answer. A stranger costs us a socket until it has
// spoken, and four multiplications on a curve when it has; both are bounded here.
//
// At most so many connections stand in the hall. When it is full, the address that has sent the
// most people loses the one who has waited longest: a thousand silent ones from one place do not
// keep out one from another, and an honest one is through the hall within milliseconds.

import { CodedError } from '../../core/base/error.ts'
import type { Timers } from '../secure/secure-stream.ts'

export interface AdmissionClock extends Timers {
  readonly steadyMs: () => number
}

export interface AdmissionLimits {
  /** Connections within their handshake. Each costs a socket and up to 64 KiB. */
  readonly halfOpenMax: number
  /** A handshake takes half a millisecond of a core. */
  readonly handshakesPerSecond: number
  readonly handshakesBurst: number
}

/** A thousand workers that lost their manager are back within two seconds. */
export const admissionLimits: AdmissionLimits = {
  halfOpenMax: 512,
  handshakesPerSecond: 400,
  handshakesBurst: 400,
}

/** One who stands in the hall. */
export interface Visit {
  /** Waits for its turn. Rejects with unavailable for one who leaves before. */
  readonly turn: () => Promise<void>
  /** Through, or gone. */
  readonly leave: () => void
}

export interface Admission {
  /** `evict` is called when the visitor must go to make room. */
  readonly enter: (address: string, evict: () => void) => Visit
  readonly halfOpen: () => number
  /** Visitors turned out so far to make room. */
  readonly evicted: () => number
}

interface Visitor {
  readonly address: string
  readonly evict: () => void
}

export function createAdmission(clock: AdmissionClock, limits = admissionLimits): Admission {
  /** By address, in the order of their coming. */
  const hall = new Map<string, Set<Visitor>>()
  let count = 0
  let evicted = 0
  let tokens = limits.handshakesBurst
  let filledAtMs = clock.steadyMs()
  const waiting = new Map<Visitor, { readonly go: () => void; readonly stay: () => void }>()
  let cancelTimer: (() => void) | undefined

  const remove = (visitor: Visitor): void => {
    // Nothing is computed for one who has gone.
    waiting.get(visitor)?.stay()
    waiting.delete(visitor)
    const group = hall.get(visitor.address)
    if (group?.delete(visitor) !== true) return
    count--
    if (group.size === 0) hall.delete(visitor.address)
  }
  const makeRoom = (): void => {
    let largest: Set<Visitor> | undefined
    for (const group of hall.values()) {
      if (largest === undefined || group.size > largest.size) largest = group
    }
    for (const oldest of largest ?? []) {
      remove(oldest)
      evicted++
      oldest.evict()
      return
    }
  }
  const refill = (): void => {
    const nowMs = clock.steadyMs()
    const gained = ((nowMs - filledAtMs) / 1_000) * limits.handshakesPerSecond
    tokens = Math.min(limits.handshakesBurst, tokens + gained)
    filledAtMs = nowMs
  }
  const serve = (): void => {
    refill()
    for (const [visitor, { go }] of waiting) {
      if (tokens < 1) break
      tokens--
      waiting.delete(visitor)
      go()
    }
    if (waiting.size === 0 || cancelTimer !== undefined) return
    const ms = Math.ceil(((1 - tokens) / limits.handshakesPerSecond) * 1_000)
    cancelTimer = clock.after(ms, () => {
      cancelTimer = undefined
      serve()
    })
  }
  return {
    enter: (address, evict) => {
      if (count >= limits.halfOpenMax) makeRoom()
      const visitor = { address, evict }
      const group = hall.get(address) ?? new Set()
      hall.set(address, group.add(visitor))
      count++
      return {
        turn: () =>
          new Promise((resolve, reject) => {
            const gone = new CodedError('unavailable', 'the visitor has left')
            waiting.set(visitor, { go: resolve, stay: () => reject(gone) })
            serve()
          }),
        leave: () => remove(visitor),
      }
    },
    halfOpen: () => count,
    evicted: () => evicted,
  }
}
