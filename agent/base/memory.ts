// Gives memory back to the machine when the agent has nothing to do, which is most of its life.
//
// Three things hold more than an idle agent needs: V8's heap after a burst (collect it), malloc's
// free lists (trim them), and pages of the executable that ran once, at start. The last are the
// most, some 20 MB: they are unchanged copies of the file, so the kernel may drop them, and reads
// back those few that are touched again.
//
//   r-xp /usr/bin/agent  Anonymous: 0 kB    code        dropped
//   r--p /usr/bin/agent  Anonymous: 0 kB    constants   dropped
//   r--p /usr/bin/agent  Anonymous: 84 kB   relocated   never: its pages differ from the file, and
//                                           dropping them is a crash at the next call through them
//   rw-p, heap, stack                       never

import { readFileSync, readlinkSync } from 'node:fs'
import { CodedError } from '../../core/base/error.ts'
import { checked, libc, MADV_DONTNEED } from '../../net/linux/ffi.ts'
import type { Clock } from './clock.ts'

/** A piece of the executable in memory that can be dropped at any time. */
export interface CleanMapping {
  readonly address: bigint
  readonly sizeBytes: bigint
}

/** What one giving back did. */
export interface Trimmed {
  readonly rssBytesBefore: number
  readonly rssBytesAfter: number
}

export interface TrimOptions {
  readonly clock: Pick<Clock, 'after'>
  /** CPU time used by this process so far. By default the process is asked. */
  readonly cpuUsedMs?: () => number
  /** What gives back; by default giveBackMemory. */
  readonly giveBack?: () => Trimmed
  /** Told after each giving back. */
  readonly onTrimmed?: (trimmed: Trimmed) => void
}

/** How often to look whether the agent is idle. */
export const lookEveryMs = 10_000
/** An interval with less CPU than this was quiet: 1 % of a core. An idle agent uses half of that. */
const quietCpuMs = lookEveryMs / 100
/** Work since the last time that makes it worth to do it again; it costs some 30 ms itself. */
const workCpuMs = 500

const headPattern = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ (\d+)\s+(.*)$/
const anonymousPattern = /^Anonymous:\s+(\d+) kB$/

/**
 * Looks every ten seconds, and gives memory back in the first quiet interval after the start and
 * after each burst of work. Returns what stops it.
 */
export function startTrimming(options: TrimOptions): () => void {
  const cpuUsedMs = options.cpuUsedMs ?? ownCpuMs
  const giveBack = options.giveBack ?? giveBackMemory
  let lastLookMs = cpuUsedMs()
  // The start is a burst too.
  let lastTrimMs = -Infinity
  let cancel = options.clock.after(lookEveryMs, look)
  return () => cancel()

  function look(): void {
    cancel = options.clock.after(lookEveryMs, look)
    const nowMs = cpuUsedMs()
    const isQuiet = nowMs - lastLookMs < quietCpuMs
    lastLookMs = nowMs
    if (!isQuiet || nowMs - lastTrimMs < workCpuMs) return
    const trimmed = giveBack()
    // Its own cost counts as no work.
    lastLookMs = cpuUsedMs()
    lastTrimMs = lastLookMs
    options.onTrimmed?.(trimmed)
  }
}

/**
 * Collects garbage (where the process runs with --expose-gc), trims malloc's heap and drops the
 * clean pages of the executable. Takes some 30 ms of CPU. Linux only; throws internal when a call
 * fails, and the process goes on as before then.
 */
export function giveBackMemory(): Trimmed {
  const rssBytesBefore = process.memoryUsage.rss()
  globalThis.gc?.()
  libc().malloc_trim(0n)
  const executable = readlinkSync('/proc/self/exe')
  for (const mapping of cleanMappings(readFileSync('/proc/self/smaps', 'utf8'), executable)) {
    const { address, sizeBytes } = mapping
    const what = `madvise of ${sizeBytes} bytes at 0x${address.toString(16)}`
    checked(what, libc().madvise(address, sizeBytes, MADV_DONTNEED))
  }
  return { rssBytesBefore, rssBytesAfter: process.memoryUsage.rss() }
}

/**
 * The mappings of `path` in the text of /proc/PID/smaps that hold nothing but the file's own bytes:
 * private, not writable, and without one anonymous page. Throws damaged-data when the text is not
 * what the kernel writes, since a wrong guess here is a crash.
 */
export function cleanMappings(smaps: string, path: string): CleanMapping[] {
  const found: CleanMapping[] = []
  let candidate: CleanMapping | undefined
  for (const line of smaps.split('\n')) {
    const head = headPattern.exec(line)
    if (head !== null) {
      if (candidate !== undefined) throw noAnonymousLine(candidate)
      const [, from = '', to = '', mode = '', inode = '', name = ''] = head
      if (name !== path || inode === '0' || (mode !== 'r-xp' && mode !== 'r--p')) continue
      const address = BigInt(`0x${from}`)
      candidate = { address, sizeBytes: BigInt(`0x${to}`) - address }
      continue
    }
    const anonymous = anonymousPattern.exec(line)
    if (anonymous === null || candidate === undefined) continue
    if (anonymous[1] === '0') found.push(candidate)
    candidate = undefined
  }
  if (candidate !== undefined) throw noAnonymousLine(candidate)
  return found
}

function noAnonymousLine(mapping: CleanMapping): CodedError {
  const where = `0x${mapping.address.toString(16)}`
  return new CodedError('damaged-data', `smaps has no line Anonymous for the mapping at ${where}`)
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
