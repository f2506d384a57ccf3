// Waiting for the world: a condition, a deadline, and words for the day it is not met.

import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitOptions {
  /** What is waited for, as a noun phrase: "5 running tasks of web". */
  readonly what: string
  readonly timeoutMs: number
  readonly everyMs?: number
  /** Added to the error: what there was instead (a log, a list). */
  readonly describe?: () => string | Promise<string>
}

/**
 * Asks again and again until the answer is neither undefined nor false, and returns it. A throw
 * counts as "not yet". Past the deadline it throws with what was waited for and the last reason.
 */
export async function waitFor<T>(
  options: WaitOptions,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs
  let last = 'the condition was never true'
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() >= deadline) break
    await sleep(options.everyMs ?? 50)
  }
  const described = options.describe === undefined ? '' : `\n${await options.describe()}`
  throw new Error(`no ${options.what} within ${options.timeoutMs} ms: ${last}${described}`)
}
