// Runs the simulator.
//
//   node scripts/sim.ts --seed N [--trace]         repeat one seed
//   node scripts/sim.ts --seed N --shrink          make it small, print its plan and its trace
//   node scripts/sim.ts [--seed N] --minutes M     run fresh seeds for so long, or --count C of them
//   ... --table                                    print in how many seeds each event occurred
//   ... --keep-going                               do not stop at the first seed that fails
//
// A failing seed is printed with the command that repeats it. Exits 1 if one failed.

import { parseArgs } from 'node:util'
import { addResult, makeTable, printTable } from '../test/sim/coverage.ts'
import { drawPlan } from '../test/sim/plan.ts'
import { runPlan, runSeed } from '../test/sim/run.ts'
import { shrink } from '../test/sim/shrink.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
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
  if (values.shrink) printShrunk(seed)
  if (!values['keep-going']) break
}
printTable(table, { first, isLong: values.table, print: (line) => console.log(line) })
process.exitCode = failures > 0 ? 1 : 0

function printShrunk(seed: number): void {
  const { plan, result, runs } = shrink(drawPlan(seed))
  const before = drawPlan(seed).faults.length
  console.log(`${before} faults made ${plan.faults.length} in ${runs} runs: ${result.failure}`)
  console.log(JSON.stringify(plan, undefined, 1))
  runPlan(plan, (line) => console.log(line))
}
