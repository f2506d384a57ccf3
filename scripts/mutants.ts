// Plants each bug of test/sim/mutants.ts in a copy of the tree and lets the simulator hunt it.
//
//   node scripts/mutants.ts [--only NAME,NAME] [--seeds N] [--first SEED]
//
// A kill counts only if the unchanged tree passes the seed that killed. The table names the seed,
// how many seeds it took, and the rule that was broken. What survives the seeds is tried on the
// text scenarios. Exits 1 if a bug survives both, and it is not said why it does no harm.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { classes, type Mutant, mutants } from '../test/sim/mutants.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '3000' },
    first: { type: 'string', default: '1' },
  },
})

const root = join(import.meta.dirname, '..')
const workspace = mkdtempSync(join(tmpdir(), 'skep-mutants-'))

/** Copies what the simulator needs, with the edits of the mutant. */
function plant(mutant: Mutant): string {
  const tree = join(workspace, mutant.name)
  for (const folder of ['core/base', 'core/raft', 'test/sim', 'test/core/raft', 'scripts']) {
    mkdirSync(join(tree, dirname(folder)), { recursive: true })
    cpSync(join(root, folder), join(tree, folder), { recursive: true })
  }
  cpSync(join(root, 'package.json'), join(tree, 'package.json'))
  for (const { file, find, replace } of mutant.edits) {
    const path = join(tree, file)
    const text = readFileSync(path, 'utf8')
    const places = text.split(find).length - 1
    if (places !== 1) {
      throw new Error(
        `${mutant.name}: the text to change stands ${places} times in ${file}: ${find}`,
      )
    }
    writeFileSync(
      path,
      text.replace(find, () => replace),
    )
  }
  return tree
}

interface Outcome {
  readonly seed: number
  readonly failure: string
}

/** The first seed that fails, or undefined. */
function hunt(tree: string, seeds: { first: number; count: number }): Outcome | undefined {
  const script = join(tree, 'scripts/sim.ts')
  const args = [script, '--seed', `${seeds.first}`, '--count', `${seeds.count}`]
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const match = /seed (\d+) fails.*\n {2}(.*)/.exec(stdout)
  if (match === null) {
    if (!/ run, 0 failed/.test(stdout)) throw new Error(`the simulator broke: ${stdout}${stderr}`)
    return undefined
  }
  return { seed: Number(match[1]), failure: match[2] ?? '' }
}

/** The first scenario that tells the mutant from the sound tree. */
function findScenario(tree: string): string | undefined {
  const script = join(tree, 'test/core/raft/compare.program.ts')
  const { stdout } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  return stdout.split('\n')[0] || undefined
}

const wanted = values.only?.split(',')
const chosen = mutants.filter((mutant) => wanted === undefined || wanted.includes(mutant.name))
const killedClasses = new Set<number>()
const byScenario: string[] = []
const survivors: Mutant[] = []
for (const mutant of chosen) {
  const tree = plant(mutant)
  const first = Number(values.first)
  const outcome = hunt(tree, { first, count: Number(values.seeds) })
  const sound = outcome === undefined ? undefined : hunt(root, { first: outcome.seed, count: 1 })
  const kind = String(mutant.kind).padStart(2)
  const name = mutant.name.padEnd(28)
  if (outcome === undefined || sound !== undefined) {
    const why =
      sound === undefined ? 'survives' : `no verdict: the sound tree fails ${sound.seed} too,`
    const scenario = findScenario(tree)
    if (scenario === undefined) survivors.push(mutant)
    else {
      byScenario.push(mutant.name)
      killedClasses.add(mutant.kind)
    }
    const end = scenario === undefined ? '' : `, killed by scenario ${scenario}`
    console.log(`${kind}  ${name} ${why} ${values.seeds} seeds${end}`)
  } else {
    killedClasses.add(mutant.kind)
    const needed = String(outcome.seed - first + 1).padStart(5)
    console.log(
      `${kind}  ${name} seed ${String(outcome.seed).padStart(6)} ${needed} needed  ${outcome.failure.slice(0, 100)}`,
    )
  }
  rmSync(tree, { recursive: true })
}
rmSync(workspace, { recursive: true })
const kinds = new Set(chosen.map((mutant) => mutant.kind))
console.log(
  `${chosen.length - survivors.length} of ${chosen.length} bugs killed (${byScenario.length} by a scenario only), ${killedClasses.size} of ${kinds.size} classes`,
)
for (const kind of kinds)
  if (!killedClasses.has(kind)) console.log(`class ${kind} survives: ${classes[kind]}`)
for (const { name, harmless } of survivors) {
  console.log(`${name} survives: ${harmless ?? 'it must be found'}`)
}
process.exitCode = survivors.some(({ harmless }) => harmless === undefined) ? 1 : 0
