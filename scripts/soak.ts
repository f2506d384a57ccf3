// Long runs: the simulator with new seeds, and every file of test/soak, for a given time in all.
//
// `node scripts/soak.ts --seconds 3600`. The time is shared out evenly; a file of test/soak finds
// its share in SOAK_SECONDS, uses it up, and exits with 1 after it has printed how to repeat what it
// found. The simulator prints its seed when it fails.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { endGroupsOnSignal, run } from './process.ts'

const root = join(import.meta.dirname, '..')
const folder = 'test/soak'
const simulator = 'scripts/sim.ts'
/** On top of its share: to start, and to end what it is in the middle of. */
const slackMs = 5 * 60_000

async function main(seconds: number): Promise<void> {
  endGroupsOnSignal()
  const files = existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []
  const programs = [
    ...(existsSync(join(root, simulator)) ? [simulator] : []),
    ...files.filter((name) => name.endsWith('.soak.ts')).map((name) => join(folder, name)),
  ]
  if (programs.length === 0) throw new Error('soak: neither a simulator nor test/soak is here')
  const share = Math.ceil(seconds / programs.length)
  const failed: string[] = []
  for (const program of programs) {
    console.log(`# ${program} for ${share} s`)
    const more = program === simulator ? ['--minutes', String(share / 60)] : []
    const args = ['--disable-warning=ExperimentalWarning', program, ...more]
    const env = { ...process.env, SOAK_SECONDS: String(share) }
    const timeoutMs = share * 1000 + slackMs
    const ended = await run(process.execPath, args, { timeoutMs, cwd: root, env, echo: true })
    if (ended.code !== 0) failed.push(program)
  }
  console.log(`${programs.length - failed.length} passed, ${failed.length} failed`)
  if (failed.length > 0) process.exitCode = 1
}

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '300' } } })
const seconds = Number(values.seconds)
if (!Number.isFinite(seconds) || seconds <= 0) {
  throw new Error(`soak: SECONDS=${values.seconds} is not a number above 0`)
}
await main(seconds)
