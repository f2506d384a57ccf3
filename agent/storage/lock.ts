// One agent per state folder, by a lock that the kernel holds: it ends with the process that took
// it, however that ends, so there is no stale lock to be fooled by, after a crash or a power cut.
// It belongs to the file itself, so other containers and namespaces with the same folder (and
// perhaps the same process id) are kept out too.
//
// Node has no call for such a lock, but the SQLite inside it takes one (fcntl) on an empty file
// that it is told to be an exclusive user of. Nothing is ever written into it.
//
// One trap: such a lock is lost when this process opens and closes the file in any other way, so
// whoever copies a state folder leaves out `lock`.

import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { CodedError } from '../../core/base/error.ts'

/** A held lock. */
export interface FolderLock {
  readonly release: () => void
}

/** Locks a folder that exists, or throws conflict, naming the holder. Never waits. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const database = new DatabaseSync(`${folder}/lock`, { timeout: 0 })
  const holderPath = `${folder}/lock-holder`
  try {
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!isBusy(error)) throw error
    const text =
      `state folder ${folder} is in use by another agent${readHolder(holderPath)}: ` +
      'stop that one, or give this one another folder with --state-dir'
    throw new CodedError('conflict', text, { detail: { folder } })
  }
  // Only for the message above; it is not read for anything else, and may be of a dead process.
  writeFileSync(holderPath, `process ${process.pid} on ${hostname()}\n`, { mode: 0o600 })
  return { release: () => database.close() }
}

const sqliteBusy = 5

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy
}

function readHolder(path: string): string {
  try {
    return ` (${readFileSync(path, 'utf8').slice(0, 200).trim()})`
  } catch {
    return ''
  }
}
