// Runs the benchmarks in test/bench one after the other, so that none disturbs another, and shows
// what they print. `node scripts/bench.ts [FILE...]`; a benchmark over its budget exits with 1.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { endGroupsOnSignal, run } from './process.ts'

const root = join(import.meta.dirname, '..')
const folder = 'test/bench'
const timeoutMs = 30 * 60_000

function benchFiles(): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => join(folder, name))
    .sort()
}

async function main(named: readonly string[]): Promise<void> {
  endGroupsOnSignal()
  const failed: string[] = []
  for (const file of named.length > 0 ? named : benchFiles()) {
    console.log(`# ${file}`)
    const args = ['--disable-warning=ExperimentalWarning', file]
    const ended = await run(process.execPath, args, { timeoutMs, cwd: root, echo: true })
    if (ended.code !== 0) failed.push(file)
  }
  if (failed.length > 0) {
    console.error(`bench: failed or over budget: ${failed.join(', ')}`)
    process.exitCode = 1
  }
}

await main(process.argv.slice(2))
