// Runs the benchmarks in test/bench one after the other, so that none disturbs another, and shows
// what they print: `node scripts/bench.ts [FILE...]`. They measure dist/agent, which is built
// first when a source is younger. A figure over its budget is named again at the end; it fails
// nothing, for a busy machine makes every time longer. Only a benchmark that breaks fails.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { overBudget } from '../test/bench/figures.ts'
import { freshAgent } from './fresh-agent.ts'
import { installMissing } from './packages.ts'
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
  if (process.getuid?.() !== 0) {
    throw new Error('needs root: it starts engines in namespaces. Try: sudo make bench')
  }
  endGroupsOnSignal()
  await installMissing((line) => console.log(`bench: ${line}`))
  const env = { ...process.env, AGENT_BIN: process.env['AGENT_BIN'] || (await freshAgent()) }
  const failed: string[] = []
  const over: string[] = []
  for (const file of named.length > 0 ? named : benchFiles()) {
    console.log(`\n# ${file}`)
    const args = ['--disable-warning=ExperimentalWarning', file]
    const ended = await run(process.execPath, args, { timeoutMs, cwd: root, env, echo: true })
    if (ended.code !== 0) failed.push(file)
    over.push(...ended.stdout.split('\n').filter((line) => line.endsWith(overBudget)))
  }
  console.log(over.length === 0 ? '\nno figure is over its budget' : `\n${over.join('\n')}`)
  if (failed.length > 0) throw new Error(`failed: ${failed.join(', ')}`)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
