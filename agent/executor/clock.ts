// The clock as an executor needs it; agent/base/clock.ts has the real one.

export interface Clock {
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** Resolves after the time; rejects with the signal's reason when that comes first. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}
