// Protocol: what a manager tells a worker and what a worker answers, as data. The wire, the
// in-process session of a manager's own worker and the simulator all carry these.

import type { ConfigId, SecretId, TaskId } from '../base/id.ts'
import type { Task } from '../object/task.ts'

/** Everything a node must have, or the difference to what it was told before. */
export interface Assignments {
  /** True: forget what is not named here. False: a difference. */
  readonly isComplete: boolean
  readonly tasks: readonly Task[]
  readonly removed: readonly TaskId[]
  /** The bytes of secrets and configs that tasks of this node need, each once. */
  readonly files: readonly FileContent[]
  /** No task of this node needs these any more. */
  readonly removedFiles: readonly FileId[]
}

/** What a task's file holds is a secret or a config; no two objects share an id. */
export type FileId = SecretId | ConfigId

/** The bytes of a secret or config. They never change: only a new object has other ones. */
export interface FileContent {
  readonly id: FileId
  readonly data: Uint8Array
  /** The node may keep a sealed copy on its disk, for restarts without a manager. */
  readonly isOffline: boolean
}
