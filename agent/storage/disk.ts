// The disk as storage sees it: a handful of calls, so that tests can put one in their place that
// loses power, fills up, stalls or lies.
//
// Two kinds of writing, as with a notebook and a filing cabinet: `writeNow` goes into the page
// cache at once (a copy in memory; measured steadier than a trip through the thread pool), `write`
// takes the trip and is for many bytes. Neither is on the disk before `sync` says so, and a new,
// renamed or removed name is not before `syncFolder`.
//
// `sync` is fdatasync in libuv's pool: a disk that stalls never holds up the event loop.

import { constants, fdatasync, readdirSync, writeSync } from 'node:fs'
import { chmod, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { assert } from '../../core/base/assert.ts'

/** An open file. Positions and sizes in bytes. */
export interface DiskFile {
  readonly path: string
  readonly sizeBytes: () => Promise<number>
  /** At most `count` bytes from `position`; fewer at the end of the file. */
  readonly read: (position: number, count: number) => Promise<Uint8Array>
  /** Everything, or throws; then any part may have been written. Blocks, so keep it small. */
  readonly writeNow: (position: number, bytes: Uint8Array) => void
  /** The same in the thread pool. */
  readonly write: (position: number, bytes: Uint8Array) => Promise<void>
  /** Cuts the file, or extends it with a hole. */
  readonly resize: (sizeBytes: number) => Promise<void>
  /** Everything written so far is on the disk when this resolves. Never retry a failed one. */
  readonly sync: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Files are made with mode 0600, folders with 0700. Errors are those of node:fs, with `code`. */
export interface Disk {
  /** `create` makes the file if it is not there, and keeps what is. */
  readonly open: (path: string, mode: 'read' | 'write' | 'create') => Promise<DiskFile>
  /** Names in the folder, sorted; none if there is no such folder. */
  readonly list: (folder: string) => Promise<readonly string[]>
  /** With its parents; keeps what is there, but closes it to others. */
  readonly makeFolder: (path: string) => Promise<void>
  /** Takes the place of `to`. */
  readonly rename: (from: string, to: string) => Promise<void>
  /** A file, or a folder with all in it; nothing happens if it is not there. */
  readonly remove: (path: string) => Promise<void>
  /** The folder's names are on the disk when this resolves. */
  readonly syncFolder: (path: string) => Promise<void>
}

const flags = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT,
} as const

/** The real one. */
export const realDisk: Disk = {
  open: async (path, mode) => realFile(path, await open(path, flags[mode], 0o600)),
  list: async (folder) => {
    try {
      return readdirSync(folder).sort()
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    }
  },
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await chmod(path, 0o700)
  },
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  syncFolder: async (path) => {
    const folder = await open(path, constants.O_RDONLY)
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  },
}

function realFile(path: string, handle: FileHandle): DiskFile {
  return {
    path,
    sizeBytes: async () => (await handle.stat()).size,
    read: async (position, count) => {
      const bytes = new Uint8Array(count)
      let filled = 0
      while (filled < count) {
        const { bytesRead } = await handle.read(bytes, filled, count - filled, position + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return bytes.subarray(0, filled)
    },
    writeNow: (position, bytes) => {
      let done = 0
      while (done < bytes.length) {
        const count = writeSync(handle.fd, bytes, done, bytes.length - done, position + done)
        assert(count > 0, 'a write moves on or throws')
        done += count
      }
    },
    write: async (position, bytes) => {
      let done = 0
      while (done < bytes.length) {
        const rest = bytes.length - done
        const { bytesWritten } = await handle.write(bytes, done, rest, position + done)
        assert(bytesWritten > 0, 'a write moves on or throws')
        done += bytesWritten
      }
    },
    resize: (sizeBytes) => handle.truncate(sizeBytes),
    sync: () =>
      new Promise((resolve, reject) => {
        fdatasync(handle.fd, (error) => (error === null ? resolve() : reject(error)))
      }),
    close: () => handle.close(),
  }
}

/** The name of a system error ('ENOSPC'), or undefined if it is none. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** True for errors that go away when somebody makes room or remounts: the disk itself is well. */
export function isNoSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EROFS'].includes(errnoOf(error) ?? '')
}
