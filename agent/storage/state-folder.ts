// The state folder: everything that a node keeps, under one roof, /var/lib/skep by default.
//
//   version      the layout's number: a newer one is refused, never guessed at
//   lock         held by the one agent that may write here; lock-holder says which, for people
//   starts       how often this member was started, see starts.ts
//   node.key     the worker's half of the node's keys; manager.key the manager's, see keystore.ts
//   raft/        a manager's log and snapshots
//   worker/      what a worker was told to run, and its sealed secrets
//
// All of it is for root's eyes: folders 0700, files 0600.

import { CodedError } from '../../core/base/error.ts'
import type { Disk } from './disk.ts'
import { readWhole, replaceFile } from './files.ts'
import { type FolderLock, lockFolder } from './lock.ts'

/** The layout that this build writes. */
export const stateVersion = 1

/** An open state folder. Nobody else has it until `close`. */
export interface StateFolder {
  readonly path: string
  readonly raft: string
  readonly worker: string
  readonly close: () => void
}

/**
 * Opens or makes a state folder and locks it. Throws conflict if another agent has it,
 * not-supported for a newer version, damaged-data if the version cannot be read, disk-full.
 */
export async function openStateFolder(disk: Disk, path: string): Promise<StateFolder> {
  await disk.makeFolder(path)
  const lock: FolderLock = await lockFolder(path)
  try {
    const isNew = await checkVersion(disk, path)
    // What a crash left half-written: it may hold keys, and nobody will ever read it.
    for (const name of await disk.list(path)) {
      if (name.endsWith('.new')) await disk.remove(`${path}/${name}`)
    }
    if (isNew) await replaceFile(disk, `${path}/version`, Buffer.from(`${stateVersion}\n`))
    await disk.makeFolder(`${path}/worker`)
    return { path, raft: `${path}/raft`, worker: `${path}/worker`, close: lock.release }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** True if the folder is new. */
async function checkVersion(disk: Disk, path: string): Promise<boolean> {
  const bytes = await readWhole(disk, `${path}/version`)
  if (bytes === undefined) {
    const names = await disk.list(path)
    if (!names.some((name) => ['node.key', 'manager.key', 'raft'].includes(name))) return true
    throw noVersion(path, 'is missing')
  }
  const text = Buffer.from(bytes.subarray(0, 16)).toString('latin1').trim()
  const version = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (version === 0) throw noVersion(path, `reads ${JSON.stringify(text)}`)
  if (version > stateVersion) {
    throw new CodedError(
      'not-supported',
      `state folder ${path} has version ${version}, this agent knows versions up to ` +
        `${stateVersion}: start the newer agent again, or restore a backup made by this one`,
      { detail: { path, version } },
    )
  }
  return false
}

function noVersion(path: string, why: string): CodedError {
  const text = `state folder ${path}: its file "version" ${why}: restore the folder from a backup`
  return new CodedError('damaged-data', text, { detail: { path } })
}
