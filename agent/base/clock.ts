// Clock: the one door to real time and to the system's randomness. Everything else is given a
// Clock, so that a test can give another.

export interface Clock {
  /** Milliseconds since 1970: for what people read. */
  readonly nowMs: () => number
  /** Milliseconds that never jump: for measuring how long something takes. */
  readonly steadyMs: () => number
  /** The same, but it goes on while the machine is asleep (CLOCK_BOOTTIME), to 10 ms. */
  readonly bootMs: () => number
  /** Resolves after that time; rejects with the signal's reason when that comes first. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  /** Calls back after that time; returns how to cancel. Does not keep the process alive. */
  readonly after: (ms: number, callback: () => void) => () => void
  /** Bytes of the system's generator. */
  readonly randomBytes: (count: number) => Uint8Array
}

/** setTimeout fires at once for more than this; we then wake early and are asked again. */
const timerMsMax = 2 ** 31 - 1

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  steadyMs: () => performance.now(),
  bootMs: () => process.getBuiltinModule('node:os').uptime() * 1000,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const aborted = (): void => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', aborted)
          resolve()
        },
        Math.min(ms, timerMsMax),
      )
      if (signal?.aborted === true) aborted()
      else signal?.addEventListener('abort', aborted, { once: true })
    }),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), timerMsMax))
    timer.unref()
    return () => clearTimeout(timer)
  },
  randomBytes: (count) => {
    // Loaded on first use: it takes longer than all else that a short command does.
    const { randomFillSync } = process.getBuiltinModule('node:crypto')
    return randomFillSync(new Uint8Array(count))
  },
}
