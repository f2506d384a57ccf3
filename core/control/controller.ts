// Controllers: functions that look at one service and write down what is missing to its desired
// state. How to write one: read the draft, write to the draft, remember nothing. What must be
// remembered stands in an object, so that a new leader just carries on; when it is to be looked at
// again without anybody changing anything, ask for it with `wake`.

import type { Random } from '../base/random.ts'
import type { Draft } from '../store/draft.ts'

export interface ControlContext {
  readonly random: Random
  /** Look at this service again at that time. The earliest of several calls counts. */
  readonly wake: (atMs: number) => void
}

/** The draft and what else a controller needs, for one service. */
export interface ControlPass extends ControlContext {
  readonly draft: Draft
}
