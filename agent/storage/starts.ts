// How often this member was started, and how far its log was then: kept apart from the log, so that
// the two can be compared. If the log is behind what the start file says, somebody put back an old
// copy of it, and the member may have forgotten a vote. (A copy of the whole folder fools both; the
// peers find that out, by the incarnation that each start raises.)

import { CodedError } from '../../core/base/error.ts'
import type { HardState } from '../../core/raft/types.ts'
import type { Disk } from './disk.ts'
import { loadState, saveState } from './files.ts'

/** This start, compared with the one before. */
export interface Start {
  /** 1 at the first start. */
  readonly count: number
  /** The machine was not booted since the start before: what it ran may still be there. */
  readonly isSameBoot: boolean
  /** Why the log cannot be the one that was last here. Such a member must not vote. */
  readonly rewound: string | undefined
}

interface StartRecord {
  readonly count: number
  readonly bootId: string
  readonly incarnation: number
  readonly term: number
  readonly commit: number
}

/**
 * Notes a start durably, with what the log says, and compares. `hardState` is undefined for a log
 * that does not exist yet. After a rewound log the note stays as it was, until `forgetStarts`.
 */
export async function recordStart(
  disk: Disk,
  folder: string,
  found: { readonly hardState: HardState | undefined; readonly bootId: string },
): Promise<Start> {
  const path = `${folder}/starts`
  const state = await loadState(disk, path)
  const before = state.type === 'value' ? checkRecord(state.value, path) : undefined
  const { hardState, bootId } = found
  const now = {
    incarnation: hardState?.incarnation.counter ?? 0,
    term: hardState?.term ?? 0,
    commit: hardState?.commit ?? 0,
  }
  const count = (before?.count ?? 0) + 1
  const isSameBoot = before?.bootId === bootId
  const rewound = findRewind(before, now)
  if (rewound === undefined) await saveState(disk, path, { value: { count, bootId, ...now } })
  return { count, isSameBoot, rewound }
}

/** The member begins anew (it left, joined again, or was recovered on purpose). */
export async function forgetStarts(disk: Disk, folder: string): Promise<void> {
  await disk.remove(`${folder}/starts`)
  await disk.syncFolder(folder)
}

function findRewind(
  before: StartRecord | undefined,
  now: { readonly incarnation: number; readonly term: number; readonly commit: number },
): string | undefined {
  if (before === undefined) {
    return now.incarnation > 1
      ? `the log was started ${now.incarnation} times, and the file "starts" is gone`
      : undefined
  }
  for (const name of ['incarnation', 'term', 'commit'] as const) {
    if (now[name] >= before[name]) continue
    return `the log knows ${name} ${now[name]}, at its last start it knew ${before[name]}`
  }
  return undefined
}

function checkRecord(value: unknown, path: string): StartRecord {
  const record = (value ?? {}) as Record<string, unknown>
  const { count, bootId, incarnation, term, commit } = record
  const numbers = [count, incarnation, term, commit]
  if (numbers.every((each) => typeof each === 'number') && typeof bootId === 'string') {
    return value as StartRecord
  }
  throw new CodedError('damaged-data', `${path} lacks a field: restore the folder from a backup`)
}
