// A short run of the simulator on fresh seeds. SIM_SEED=N repeats one run, SIM_SECONDS=S is its
// length; `node scripts/sim.ts --seed N` repeats a single seed.

import t from 'tap'
import { addResult, makeTable, printTable } from './coverage.ts'
import { runSeed } from './run.ts'

const first = Number(process.env['SIM_SEED'] ?? Math.floor(performance.timeOrigin) % 1_000_000_000)
const seconds = Number(process.env['SIM_SECONDS'] ?? 15)

t.test('clusters under faults are safe, converge and serve', async (t) => {
  const table = makeTable()
  const until = performance.now() + seconds * 1000
  for (let seed = first; performance.now() < until; seed++) {
    const result = runSeed(seed)
    addResult(table, result)
    if (result.failure === undefined) continue
    t.fail(`seed ${seed}: ${result.failure}; repeat: node scripts/sim.ts --seed ${seed} --trace`)
    break
  }
  t.ok(table.seeds > 0)
  printTable(table, { first, isLong: false, print: (line) => t.comment(line) })
})

t.test('the same seed gives the same run', async (t) => {
  const [one, two] = [runSeed(first), runSeed(first)]
  t.equal(one.steps, two.steps)
  t.equal(one.acked, two.acked)
  t.same([...one.counts], [...two.counts])
})
