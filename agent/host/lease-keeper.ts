// Lease keeper: watches over the node's lease (core/object/lease.ts) by a clock that goes on while
// the machine is asleep. When the lease ends is also noted in a file, so that an agent that starts
// knows whether the containers it finds may still run. The file is on a tmpfs, written a few times a
// second at most, and only while something here runs on the lease; another boot's says nothing.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Log } from '../../core/base/note.ts'
import { graceHeartbeats } from '../../core/object/lease.ts'
import { bootId } from '../base/boot-id.ts'
import type { Clock } from '../base/clock.ts'

export interface LeaseKeeperOptions {
  readonly path: string
  /** True while something runs on the lease. */
  readonly isNeeded: () => boolean
  readonly onRenewed: () => void
  readonly onEnded: () => void
  readonly clock: Clock
  readonly log: Log
}

export interface LeaseKeeper {
  /** Says whether the lease of the last agent is still good; call it once, first. */
  readonly start: () => void
  /** The cluster has answered what was sent at that time (Clock.bootMs). */
  readonly renew: (sentAtMs: number, heartbeatMs: number) => void
  /** How long ago it ended, in milliseconds; 0 while it is good. */
  readonly overMs: () => number
  readonly erase: () => void
  readonly close: () => void
}

/** Timers stand still while the machine is asleep: the clock is looked at so often. */
const lookMsMax = 1_000

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { path, clock, log } = options
  const boot = bootId()
  let endsAtMs = -Infinity
  let isOver = true
  let isClosed = false
  let cancel: (() => void) | undefined

  const look = (): void => {
    cancel?.()
    if (isClosed) return
    const leftMs = endsAtMs - clock.bootMs()
    if (leftMs > 0) {
      cancel = clock.after(Math.min(leftMs, lookMsMax), look)
      if (isOver) {
        isOver = false
        options.onRenewed()
      }
    } else if (!isOver) {
      isOver = true
      if (options.isNeeded()) log('warn', 'lease.ended', { overMs: Math.round(-leftMs) })
      options.onEnded()
    }
  }
  const note = (): void => {
    try {
      writeFileSync(path, `${boot} ${endsAtMs}\n`, { mode: 0o600 })
    } catch (error) {
      log('warn', 'lease.not-noted', { path, error: String(error) })
    }
  }
  return {
    start: () => {
      endsAtMs = readEnd(path, boot)
      look()
    },
    renew: (sentAtMs, heartbeatMs) => {
      const nextMs = sentAtMs + graceHeartbeats * heartbeatMs
      if (nextMs <= endsAtMs) return
      endsAtMs = nextMs
      look()
      if (options.isNeeded()) note()
    },
    overMs: () => Math.max(0, clock.bootMs() - endsAtMs),
    erase: () => rmSync(path, { force: true }),
    close: () => {
      isClosed = true
      cancel?.()
    },
  }
}

/** When the lease ends that the file tells of; one of an earlier boot has ended. */
function readEnd(path: string, boot: string): number {
  try {
    const [ofBoot, endsAtMs] = readFileSync(path, 'utf8').trim().split(' ')
    return boot !== '' && ofBoot === boot ? Number(endsAtMs) : -Infinity
  } catch {
    return -Infinity
  }
}
