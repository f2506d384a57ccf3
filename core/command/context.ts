// What running a command needs besides the draft: randomness for ids. Time and index are the
// draft's.

import type { Random } from '../base/random.ts'

export interface CommandContext {
  readonly random: Random
}
