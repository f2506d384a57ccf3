// Worker store: the assignments of this node on its disk, so that it goes on with them when it starts
// and no manager is there. Sealed under a key made from the node's own; written a little after
// they change, since a power cut in that second only means to start from what was before.
//
// Secrets and configs are not among them: their tasks wait for a manager.

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

export interface WorkerStore {
  /** What was stored last; nothing if there is nothing that can be read. */
  readonly load: () => Promise<readonly Task[]>
  /** Stores these after a while; the newest of several calls counts. */
  readonly store: (tasks: readonly Task[]) => void
  /** Stores what waits. */
  readonly close: () => Promise<void>
}

const delayMs = 1_000

/** A store in `folder`/assignments. */
export function createWorkerStore(options: WorkerStoreOptions): WorkerStore {
  const { disk, folder, clock, log } = options
  const path = `${folder}/assignments`
  const key = deriveKey({ secret: options.nodeKey, purpose: 'skep worker assignments' })
  let waiting: readonly Task[] | undefined
  let cancel: (() => void) | undefined
  let last: Promise<void> = Promise.resolve()
  const write = (): Promise<void> => {
    cancel?.()
    cancel = undefined
    const tasks = waiting
    waiting = undefined
    if (tasks === undefined) return last
    last = last
      .then(() => saveState(disk, path, { value: { tasks }, key }))
      .catch((error: unknown) => log('error', 'assignments.not-stored', { error: String(error) }))
    return last
  }
  return {
    load: async () => {
      try {
        const file = await loadState(disk, path, key)
        return file.type === 'value'
          ? (file.value as { readonly tasks: readonly Task[] }).tasks
          : []
      } catch (error) {
        log('error', 'assignments.not-read', { error: String(error) })
        return []
      }
    },
    store: (tasks) => {
      waiting = tasks
      cancel ??= clock.after(delayMs, () => void write())
    },
    close: write,
  }
}
