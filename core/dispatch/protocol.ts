// Protocol: what a manager tells a worker and what a worker answers, as data. The wire, the
// in-process session of a manager's own worker and the simulator all carry these.

import type { TaskId } from '../base/id.ts'
import type { Task } from '../object/task.ts'

/** Everything a node must have, or the difference to what it was told before. */
export interface Assignments {
  /** True: forget what is not named here. False: a difference. */
  readonly isComplete: boolean
  readonly tasks: readonly Task[]
  readonly removed: readonly TaskId[]
}
