// Runs the simulator: `node scripts/sim.ts --seed N` repeats one seed, `--minutes M` or `--count N`
// runs fresh ones from `--seed` on. A failing seed is printed with the command that repeats it.

import { parseArgs } from 'node:util'
import { addResult, makeTable, printTable } from '../test/sim/coverage.ts'
import { runSeed } from '../test/sim/run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    keepGoing: { type: 'boolean', default: false },
  },
})

const isSingle = values.count === undefined && values.minutes === undefined
const first = Number(values.seed ?? Date.now() % 1_000_000_000)
const countMax = isSingle ? 1 : Number(values.count ?? Number.POSITIVE_INFINITY)
const untilMs = Date.now() + Number(values.minutes ?? 1e9) * 60_000
const table = makeTable()
let failures = 0
for (let at = 0; at < countMax && Date.now() < untilMs; at++) {
  const seed = first + at
  const result = runSeed(seed, values.trace ? (line) => console.log(line) : undefined)
  addResult(table, result)
  if (result.failure === undefined) continue
  failures++
  console.log(`seed ${seed} fails after ${(result.virtualMs / 1000).toFixed(1)} virtual s`)
  console.log(`  ${result.failure}`)
  console.log(`  repeat: node scripts/sim.ts --seed ${seed} --trace`)
  if (!values.keepGoing) break
}
printTable(table, { first, isLong: values.table })
process.exitCode = failures > 0 ? 1 : 0
