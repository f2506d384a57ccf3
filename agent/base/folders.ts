// Folders that the user names by a flag: made with all that is missing above them, or refused at once.
//
// Not mkdir's own `recursive`: where the kernel says ENOENT although the folder above is there, as in
// /proc, Node tries again for ever.

import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { CodedError } from '../../core/base/error.ts'

/** A folder, and the flag that names it. */
export interface NamedFolder {
  readonly path: string
  readonly flag: string
  /** Of folders that are made. */
  readonly mode: number
}

/** Makes the folder unless it is there. Throws invalid-argument with the flag to change. */
export function makeFolder(folder: NamedFolder): void {
  const missing: string[] = []
  for (let path = folder.path; !isFolder(path, folder); path = dirname(path)) missing.unshift(path)
  for (const path of missing) makeOne(path, folder)
}

function isFolder(path: string, folder: NamedFolder): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return false
    if (stat.isDirectory()) return true
  } catch (error) {
    throw refused(path, folder, error)
  }
  throw refused(path, folder, 'it is no folder')
}

function makeOne(path: string, folder: NamedFolder): void {
  try {
    mkdirSync(path, { mode: folder.mode })
  } catch (error) {
    // Somebody else may have made it since.
    if (!isFolder(path, folder)) throw refused(path, folder, error)
  }
}

function refused(path: string, { path: wanted, flag }: NamedFolder, why: unknown): CodedError {
  const reason = why instanceof Error ? why.message : String(why)
  return new CodedError(
    'invalid-argument',
    `cannot make the folder ${path} (${reason}): choose another for --${flag} ${wanted}`,
    { cause: why },
  )
}
