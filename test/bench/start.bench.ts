// What it costs to have the agent and to call it: the size of the file, and the start of a command
// beside a hello-world executable built in the same way, and beside docker's own command.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { constants, zstdCompressSync } from 'node:zlib'
import { must, strippedNode } from '../../scripts/node-binary.ts'
import { run } from '../../scripts/process.ts'
import { builtAgent, withContenders } from './contenders.ts'
import { median, printFigures } from './figures.ts'

/** A command, and what its runs took. */
interface Runner {
  readonly name: string
  readonly command: readonly string[]
  readonly wallMs: number[]
  readonly cpuMs: number[]
}

const runs = 21
// The flags of the agent's own build: scripts/build.ts.
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--expose-gc']

/** An executable that prints a line, with everything else as in the agent's build. */
async function buildHello(folder: string): Promise<string> {
  const path = (name: string): string => join(folder, name)
  if (process.arch !== 'x64' && process.arch !== 'arm64') throw new Error(process.arch)
  writeFileSync(path('hello.cjs'), "process.stdout.write('hello\\n')\n")
  const settings = {
    main: path('hello.cjs'),
    output: path('hello-built'),
    executable: await strippedNode(process.arch),
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    execArgv: nodeFlags,
    execArgvExtension: 'none',
  }
  writeFileSync(path('sea.json'), JSON.stringify(settings))
  await must(process.execPath, [...nodeFlags, '--build-sea', path('sea.json')])
  // A fresh file has large pages in the cache, which a copy has not: as the agent's build does.
  await must('cp', [path('hello-built'), path('hello')])
  return path('hello')
}

/** Runs the command once; the shell's own clock tells its CPU. */
async function time(runner: Runner): Promise<void> {
  const script = 'TIMEFORMAT="%3R %3U %3S"; time "$@" >/dev/null'
  const ended = await run('bash', ['-c', script, 'bash', ...runner.command], { timeoutMs: 30_000 })
  const match = /(\S+) (\S+) (\S+)\s*$/.exec(ended.stderr)
  if (ended.code !== 0 || match === null) throw new Error(`${runner.name}: ${ended.stderr}`)
  const [wall = 0, user = 0, system = 0] = match.slice(1).map((text) => Number(text) * 1000)
  runner.wallMs.push(wall)
  runner.cpuMs.push(user + system)
}

function runnerOf(name: string, ...command: readonly string[]): Runner {
  return { name, command, wallMs: [], cpuMs: [] }
}

function printSizes(agent: string): void {
  const params = { [constants.ZSTD_c_compressionLevel]: 19 }
  const packed = zstdCompressSync(readFileSync(agent), { params }).length
  printFigures('size of the executable', [
    {
      what: 'stripped',
      value: statSync(agent).size / 1e6,
      unit: 'MB',
      budget: { of: 'value', max: 120 },
    },
    { what: 'zstd -19', value: packed / 1e6, unit: 'MB', budget: { of: 'value', max: 32 } },
  ])
}

function printStarts(rows: readonly { ours: Runner; beside: Runner; max: number }[]): void {
  const figures = rows.flatMap(({ ours, beside, max }) =>
    (['wallMs', 'cpuMs'] as const).map((kind) => ({
      what: `${ours.name}, ${kind === 'wallMs' ? 'wall' : 'CPU'}`,
      value: median(ours[kind]),
      unit: 'ms' as const,
      beside: { name: beside.name, value: median(beside[kind]) },
      // The budget is of what a user waits for.
      ...(kind === 'wallMs' ? { budget: { of: 'ratio' as const, max } } : {}),
    })),
  )
  printFigures(`start of a command, median of ${runs}`, figures)
}

const folder = mkdtempSync(join(tmpdir(), 'skep-bench-'))
try {
  const agent = join(folder, 'agent')
  copyFileSync(builtAgent(), agent)
  const hello = runnerOf('hello', await buildHello(folder))
  const version = runnerOf('agent --version', agent, '--version')
  await withContenders(async ({ ours, swarm }) => {
    const ourNodes = runnerOf('agent node ls', agent, '-H', `unix://${ours.socket}`, 'node', 'ls')
    const docker = ['docker', '-H', `unix://${swarm.socket}`, 'node', 'ls']
    const swarmNodes = runnerOf('docker node ls', ...docker)
    const ourVersion = runnerOf('agent version', agent, '-H', `unix://${ours.socket}`, 'version')
    const all = [hello, version, ourVersion, ourNodes, swarmNodes]
    for (let round = 0; round < runs; round++) for (const runner of all) await time(runner)
    printStarts([
      { ours: version, beside: hello, max: 1.5 },
      { ours: ourVersion, beside: hello, max: 1.5 },
      { ours: ourNodes, beside: hello, max: 1.5 },
      { ours: ourNodes, beside: swarmNodes, max: 1 },
    ])
  })
  printSizes(agent)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
