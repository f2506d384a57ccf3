// Makes a failing plan small: leaves out faults, as long as it still fails, first by halves, then
// one by one; then tries fewer clients and a calm network. What remains is what a reader studies.

import type { Fault, Plan } from './plan.ts'
import { type Result, runPlan } from './run.ts'

export interface Shrunk {
  readonly plan: Plan
  readonly result: Result
  readonly runs: number
}

/** The plan must fail. The result fails too, not always by the same rule. */
export function shrink(plan: Plan, runsMax = 400): Shrunk {
  let best = plan
  let result = runPlan(plan)
  let runs = 1
  const isSmaller = (candidate: Plan): boolean => {
    if (runs >= runsMax) return false
    runs++
    const outcome = runPlan(candidate)
    if (outcome.failure === undefined) return false
    best = candidate
    result = outcome
    return true
  }
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = Math.floor(size / 2)) {
    let from = 0
    while (from < best.faults.length) {
      const faults = without(best.faults, from, size)
      if (!isSmaller({ ...best, faults })) from += size
    }
  }
  const { noise } = best
  isSmaller({ ...best, noise: { ...noise, loss: 0, duplicate: 0, late: 0 } })
  isSmaller({ ...best, noise: { ...best.noise, late: 0 } })
  isSmaller({ ...best, clients: 1 })
  isSmaller({ ...best, lasting: undefined, isRecovered: false })
  isSmaller({ ...best, rates: best.rates.map(() => 1) })
  isSmaller({ ...best, applyMs: 0 })
  return { plan: best, result, runs }
}

function without(faults: readonly Fault[], from: number, count: number): readonly Fault[] {
  return [...faults.slice(0, from), ...faults.slice(from + count)]
}
