// The judge of histories against a plain search, on thousands of small random ones.

import t from 'tap'
import { numberedRandom } from '../../core/base/random.ts'
import { findAnomaly, type Operation } from './history.ts'
import { makeDice } from './plan.ts'

/** Tries every order that respects real time; a write without an answer may be left out. */
function isLinearizable(operations: readonly Operation[]): boolean {
  const search = (left: readonly Operation[], value: string | undefined): boolean => {
    if (left.every((operation) => operation.endMs === Number.POSITIVE_INFINITY)) return true
    const earliestEnd = Math.min(...left.map((operation) => operation.endMs))
    return left.some((operation) => {
      if (operation.beginMs > earliestEnd) return false
      if (operation.kind === 'read' && operation.value !== value) return false
      const rest = left.filter((other) => other !== operation)
      return search(rest, operation.kind === 'write' ? operation.value : value)
    })
  }
  return search(operations, undefined)
}

t.test('the judge agrees with a search', async (t) => {
  const dice = makeDice(numberedRandom(7))
  const verdicts = { good: 0, bad: 0 }
  for (let round = 0; round < 6000; round++) {
    const operations: Operation[] = []
    const values: (string | undefined)[] = [undefined]
    for (let at = dice.whole(2, 6); at > 0; at--) {
      const beginMs = dice.whole(0, 20) + at / 100
      const isLost = dice.chance(0.15)
      const endMs = beginMs + dice.whole(0, 12) + 0.5
      if (dice.chance(0.5)) {
        const value = `${at}`
        values.push(value)
        const end = isLost ? Number.POSITIVE_INFINITY : endMs
        operations.push({ kind: 'write', value, beginMs, endMs: end })
      } else operations.push({ kind: 'read', value: dice.of(values), beginMs, endMs })
    }
    const wanted = isLinearizable(operations)
    const anomaly = findAnomaly(operations)
    verdicts[wanted ? 'good' : 'bad']++
    if ((anomaly === undefined) !== wanted) {
      t.fail(
        `${anomaly ?? 'no anomaly'}, but the search says ${wanted}: ${JSON.stringify(operations)}`,
      )
      return
    }
  }
  t.ok(verdicts.good > 500 && verdicts.bad > 500, JSON.stringify(verdicts))
})
