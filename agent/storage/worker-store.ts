// Worker store: the assignments of this node on its disk, so that it goes on with them when it starts
// and no manager is there. Sealed under keys made from the node's own; written a little after
// they change, since a power cut in that second only means to start from what was before.
//
//   assignments   the tasks                                  often written
//   files         the secrets and configs that they need     only when there are others
//
// What the cluster forbids to keep is not among the files: such tasks wait for a manager.

import type { ConfigId, SecretId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Task } from '../../core/object/task.ts'
import { deriveKey } from '../../net/secure/crypto.ts'
import type { Clock } from '../base/clock.ts'
import type { Disk } from './disk.ts'
import { loadState, saveState } from './files.ts'

export interface WorkerStoreOptions {
  readonly disk: Disk
  /** The worker's folder of the state folder. */
  readonly folder: string
  /** The node's private key. */
  readonly nodeKey: Uint8Array
  readonly clock: Clock
  readonly log: Log
}

/** What a node must not forget. */
export interface WorkerMemory {
  readonly tasks: readonly Task[]
  /** Secrets and configs that may be kept. */
  readonly files: readonly StoredFile[]
}

interface StoredFile {
  readonly id: SecretId | ConfigId
  readonly data: Uint8Array
  readonly isOffline: boolean
}

export interface WorkerStore {
  /** What was stored last; nothing of what cannot be read. */
  readonly load: () => Promise<WorkerMemory>
  /** Stores these after a while; the newest of several calls counts. */
  readonly store: (memory: WorkerMemory) => void
  /** Stores what waits. */
  readonly close: () => Promise<void>
}

const delayMs = 1_000

/** A store in `folder`. */
export function createWorkerStore(options: WorkerStoreOptions): WorkerStore {
  const { disk, folder, clock, log } = options
  const [tasksPath, filesPath] = [`${folder}/assignments`, `${folder}/files`]
  const keyFor = (what: string): Uint8Array =>
    deriveKey({ secret: options.nodeKey, purpose: `skep worker ${what}` })
  const [tasksKey, filesKey] = [keyFor('assignments'), keyFor('files')]
  let waiting: WorkerMemory | undefined
  let cancel: (() => void) | undefined
  let last: Promise<void> = Promise.resolve()
  /** Ids of the files on the disk; their bytes never change. Undefined: not known. */
  let storedIds: string | undefined

  const save = async ({ tasks, files }: WorkerMemory): Promise<void> => {
    const ids = idsOf(files)
    // First: a task whose files are not there only waits.
    if (ids !== storedIds) {
      storedIds = undefined
      await saveState(disk, filesPath, { value: { files }, key: filesKey })
      storedIds = ids
    }
    await saveState(disk, tasksPath, { value: { tasks }, key: tasksKey })
  }
  const write = (): Promise<void> => {
    cancel?.()
    cancel = undefined
    const memory = waiting
    waiting = undefined
    if (memory === undefined) return last
    last = last
      .then(() => save(memory))
      .catch((error: unknown) => log('error', 'assignments.not-stored', { error: String(error) }))
    return last
  }
  const read = async (path: string, key: Uint8Array): Promise<unknown> => {
    try {
      const file = await loadState(disk, path, key)
      return file.type === 'value' ? file.value : undefined
    } catch (error) {
      log('error', 'assignments.not-read', { path, error: String(error) })
      return undefined
    }
  }
  return {
    load: async () => {
      const kept = (await read(tasksPath, tasksKey)) as { tasks: readonly Task[] } | undefined
      const held = (await read(filesPath, filesKey)) as { files: readonly StoredFile[] } | undefined
      const files = held?.files ?? []
      storedIds = held === undefined ? undefined : idsOf(files)
      return { tasks: kept?.tasks ?? [], files }
    },
    store: (memory) => {
      waiting = memory
      cancel ??= clock.after(delayMs, () => void write())
    },
    close: write,
  }
}

function idsOf(files: readonly StoredFile[]): string {
  return files
    .map(({ id }) => id)
    .sort()
    .join(' ')
}
