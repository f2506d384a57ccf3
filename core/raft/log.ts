// The log in memory: every entry behind the last compaction, and the place where it was cut.
//
//   compacted      | entries
//   1 ... base     | base+1 ... last
//
// What is durable of it is not known here; state.ts counts that.

import { assert, present } from '../base/assert.ts'
import type { Entry } from './types.ts'

export interface Log {
  /** Index and term of the last entry that is no longer here. */
  baseIndex: number
  baseTerm: number
  entries: Entry[]
}

/** A log of the entries behind (index, term). */
export function makeLog(base: { index: number; term: number }, entries: readonly Entry[]): Log {
  entries.forEach((entry, at) => {
    assert(entry.index === base.index + 1 + at, `entry ${entry.index} stands without a gap`)
  })
  return { baseIndex: base.index, baseTerm: base.term, entries: [...entries] }
}

export function lastIndex(log: Log): number {
  return log.baseIndex + log.entries.length
}

export function lastTerm(log: Log): number {
  return log.entries.at(-1)?.term ?? log.baseTerm
}

/** The term at an index, or undefined where the log does not reach or no longer does. */
export function termAt(log: Log, index: number): number | undefined {
  if (index === log.baseIndex) return log.baseTerm
  return log.entries[index - log.baseIndex - 1]?.term
}

export function entryAt(log: Log, index: number): Entry | undefined {
  return log.entries[index - log.baseIndex - 1]
}

/** Entries from `from` up to and including `to`. Both must be here. */
export function slice(log: Log, from: number, to: number): Entry[] {
  assert(from > log.baseIndex, `entry ${from} is not compacted`)
  assert(to <= lastIndex(log), `entry ${to} exists`)
  return log.entries.slice(from - log.baseIndex - 1, to - log.baseIndex)
}

/** Entries from `from` on, as many as fit; at least one if there is one. */
export function batch(
  log: Log,
  from: number,
  max: { readonly entries: number; readonly sizeBytes: number },
): Entry[] {
  assert(from > log.baseIndex, `entry ${from} is not compacted`)
  const start = from - log.baseIndex - 1
  let end = start
  let sizeBytes = 0
  while (end < log.entries.length && end - start < max.entries) {
    sizeBytes += present(log.entries[end], 'an entry').sizeBytes
    if (sizeBytes > max.sizeBytes && end > start) break
    end++
  }
  return log.entries.slice(start, end)
}

export function append(log: Log, entry: Entry): void {
  assert(entry.index === lastIndex(log) + 1, `entry ${entry.index} follows ${lastIndex(log)}`)
  assert(entry.term >= lastTerm(log), `term ${entry.term} is not below ${lastTerm(log)}`)
  log.entries.push(entry)
}

/** Drops everything from `from` on. */
export function truncate(log: Log, from: number): void {
  assert(from > log.baseIndex, `entry ${from} is not compacted`)
  log.entries.length = Math.min(log.entries.length, from - log.baseIndex - 1)
}

/** Forgets everything up to and including `to`. */
export function compact(log: Log, to: number): void {
  if (to <= log.baseIndex) return
  const term = present(termAt(log, to), `the term of entry ${to}`)
  log.entries.splice(0, to - log.baseIndex)
  log.baseIndex = to
  log.baseTerm = term
}

/** Forgets the whole log for a snapshot that stands for it. */
export function reset(log: Log, base: { index: number; term: number }): void {
  log.baseIndex = base.index
  log.baseTerm = base.term
  log.entries = []
}

/** The last place at or before `index` whose term is at most `term`: where two logs may still agree. */
export function lastAtMost(
  log: Log,
  index: number,
  term: number,
): { readonly index: number; readonly term: number } {
  for (let at = Math.min(index, lastIndex(log)); at > log.baseIndex; at--) {
    const here = present(termAt(log, at), `the term of entry ${at}`)
    if (here <= term) return { index: at, term: here }
  }
  return { index: log.baseIndex, term: log.baseTerm }
}

/** True if a log that ends in (index, term) lacks nothing that this one may have promised. */
export function isUpToDate(log: Log, other: { lastIndex: number; lastTerm: number }): boolean {
  const term = lastTerm(log)
  return other.lastTerm > term || (other.lastTerm === term && other.lastIndex >= lastIndex(log))
}
