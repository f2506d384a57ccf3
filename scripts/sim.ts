// Runs the simulator.
//
//   node scripts/sim.ts --seed N [--trace]         repeat one seed
//   node scripts/sim.ts --seed N --shrink          make it small, print its plan and its trace
//   node scripts/sim.ts [--seed N] --minutes M     run fresh seeds for so long, or --count C of them
//   ... --table                                    print in how many seeds each event occurred
//   ... --keep-going                               do not stop at the first seed that fails
//   ... --log FILE                                 append a line for every 500 seeds, and what failed;
//                                                  begun again, goes on after the last line
//   node scripts/sim.ts --sum FILE                 add up the lines of such a file
//
// A failing seed is printed with the command that repeats it. Exits 1 if one failed.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import {
  addResult,
  addRow,
  makeTable,
  printTable,
  type TableRow,
  toRow,
} from '../test/sim/coverage.ts'
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
    log: { type: 'string' },
    sum: { type: 'string' },
  },
})

const rowSeeds = 500
if (values.sum !== undefined) sum(values.sum)
else run()

function run(): void {
  const isSingle = values.count === undefined && values.minutes === undefined
  const asked = Number(values.seed ?? Date.now() % 1_000_000_000)
  const last = isSingle ? asked : asked + Number(values.count ?? Number.POSITIVE_INFINITY) - 1
  const untilMs = Date.now() + Number(values.minutes ?? 1e9) * 60_000
  const first = firstSeed(asked)
  const table = makeTable()
  let row = { table: makeTable(), first }
  let failures = 0
  for (let seed = first; seed <= last && Date.now() < untilMs; seed++) {
    const result = runSeed(seed, values.trace ? (line) => console.log(line) : undefined)
    addResult(table, result)
    addResult(row.table, result)
    if (result.failure !== undefined) {
      failures++
      tellFailure(seed, result.virtualMs, result.failure)
      if (!values['keep-going']) break
    }
    if (row.table.seeds === rowSeeds) {
      log(JSON.stringify(toRow(row.table, row.first)))
      row = { table: makeTable(), first: seed + 1 }
    }
  }
  if (row.table.seeds > 0) log(JSON.stringify(toRow(row.table, row.first)))
  printTable(table, { first, isLong: values.table, print: (line) => console.log(line) })
  process.exitCode = failures > 0 ? 1 : 0
}

function tellFailure(seed: number, virtualMs: number, failure: string): void {
  const lines = [
    `seed ${seed} fails after ${(virtualMs / 1000).toFixed(1)} virtual s`,
    `  ${failure}`,
    `  repeat: node scripts/sim.ts --seed ${seed} --trace`,
  ]
  for (const line of lines) {
    console.log(line)
    log(line)
  }
  if (values.shrink) printShrunk(seed)
}

function log(line: string): void {
  if (values.log !== undefined) appendFileSync(values.log, `${line}\n`)
}

function readRows(path: string): TableRow[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as TableRow)
}

/** Where a log ends that was begun earlier, or the seed asked for. */
function firstSeed(asked: number): number {
  if (values.log === undefined || !existsSync(values.log)) return asked
  return readRows(values.log).reduce((next, row) => Math.max(next, row.first + row.seeds), asked)
}

function sum(path: string): void {
  const table = makeTable()
  const rows = readRows(path)
  for (const row of rows) addRow(table, row)
  const first = rows.reduce((least, row) => Math.min(least, row.first), Number.POSITIVE_INFINITY)
  printTable(table, { first, isLong: true, print: (line) => console.log(line) })
}

function printShrunk(seed: number): void {
  const { plan, result, runs } = shrink(drawPlan(seed))
  const before = drawPlan(seed).faults.length
  console.log(`${before} faults made ${plan.faults.length} in ${runs} runs: ${result.failure}`)
  console.log(JSON.stringify(plan, undefined, 1))
  runPlan(plan, (line) => console.log(line))
}
