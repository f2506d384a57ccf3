// Builds dist/agent: one executable with Node, our code and its assets inside.
//
//   agent/executable.ts --esbuild--> its main file -----------+
//   agent/main.ts, agent/run-daemon.ts --esbuild--> programs -+--node --build-sea--> dist/agent
//          and a code cache of each (code-cache.ts) ----------+
//   *.worker.ts         --esbuild--> one file each -----------+
//   agent/**/*.html                  as it is ----------------+
//   node-linux-ARCH     --strip------------------------------------^
//
// `await import()` stays lazy: esbuild wraps such modules in functions that run when asked for, so
// that `agent version` does not pay for what other commands need. For the other architecture the
// caches must be made by that architecture's Node: under qemu where it is there, else the executable
// goes without.

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildSync } from 'esbuild'
import { type Architecture, architectures, isThere, must, strippedNode } from './node-binary.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const codeCache = join(root, 'scripts/code-cache.ts')
const bytesMax = 120_000_000
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--expose-gc']

interface Built {
  readonly main: string
  readonly programs: readonly Program[]
  readonly assets: Readonly<Record<string, string>>
}

/** A program of agent/executable.ts. */
interface Program {
  readonly name: string
  readonly path: string
  /** Whether commands of it run while its code cache is made. */
  readonly isWarmed: boolean
}

async function build(arch: Architecture): Promise<void> {
  const started = performance.now()
  const name = arch === process.arch ? 'agent' : `agent-${arch}`
  const work = join(dist, `.${name}.${process.pid}`)
  mkdirSync(work, { recursive: true })
  try {
    const built = await bundle(work)
    const output = join(dist, name)
    await makeExecutable({ arch, built, work, output })
    report(output, performance.now() - started)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function bundle(work: string): Promise<Built> {
  const define = {
    SKEP_VERSION: JSON.stringify(packageVersion()),
    SKEP_COMMIT: JSON.stringify(await gitCommit()),
    // What undici looks for in a bundle of itself: it then leaves out a second parser, which is on trial.
    esbuildDetection: JSON.stringify('bundled'),
  }
  const bundleTo = (source: string, name: string, wrap?: Wrap): string => {
    bundleOne({ source, output: join(work, name), define, wrap })
    return join(work, name)
  }
  const assets: Record<string, string> = {}
  for (const source of sourcesEndingIn('.worker.ts')) {
    assets[source] = bundleTo(source, source.replaceAll('/', '-').replace(/\.ts$/, '.cjs'))
  }
  for (const source of sourcesEndingIn('.html')) assets[source] = join(root, source)
  const agent = bundleTo('agent/main.ts', 'agent.cjs', programWrap)
  const daemon = bundleTo('agent/run-daemon.ts', 'daemon.cjs', programWrap)
  return {
    main: bundleTo('agent/executable.ts', 'executable.cjs'),
    programs: [
      { name: 'agent', path: agent, isWarmed: true },
      { name: 'daemon', path: daemon, isWarmed: false },
    ],
    assets: { ...assets, 'agent.cjs': agent, 'daemon.cjs': daemon },
  }
}

interface Wrap {
  readonly banner: string
  readonly footer: string
}

/** The function that agent/executable.ts calls. */
const programWrap: Wrap = { banner: '(function (exports, require, module) {', footer: '})' }

function bundleOne(plan: {
  readonly source: string
  readonly output: string
  readonly define: Record<string, string>
  readonly wrap: Wrap | undefined
}): void {
  const { define, wrap } = plan
  buildSync({
    absWorkingDir: root,
    entryPoints: [plan.source],
    outfile: plan.output,
    ...(wrap === undefined ? {} : { banner: { js: wrap.banner }, footer: { js: wrap.footer } }),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    minifySyntax: true,
    minifyWhitespace: true,
    charset: 'ascii',
    // The code cache of a single executable forbids import(); of Node's own modules too.
    supported: { 'dynamic-import': false },
    legalComments: 'none',
    define,
    external: [
      'msgpackr-extract', // A native helper of msgpackr, which does without.
      '*/run-daemon.ts', // A program of its own: agent/executable.ts loads it.
    ],
    // In the executable there is no folder of sources to ask for; agent/base/assets.ts knows.
    logOverride: { 'empty-import-meta': 'silent' },
    logLevel: 'warning',
  })
}

function sourcesEndingIn(suffix: string): string[] {
  return ['net', 'agent'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith(suffix))
      .map((path) => join(top, path)),
  )
}

function packageVersion(): string {
  const read = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return read.version
}

/** The commit that is built, or "unknown" in a folder that is no git checkout. */
async function gitCommit(): Promise<string> {
  const git = ['-C', root, '-c', `safe.directory=${root}`]
  try {
    const commit = (await must('git', [...git, 'rev-parse', '--short=12', 'HEAD'])).trim()
    const changes = await must('git', [...git, 'status', '--porcelain', '--untracked-files=no'])
    return changes === '' ? commit : `${commit}-dirty`
  } catch {
    return 'unknown'
  }
}

async function makeExecutable(plan: {
  readonly arch: Architecture
  readonly built: Built
  readonly work: string
  readonly output: string
}): Promise<void> {
  const node = await strippedNode(plan.arch)
  const isForeign = plan.arch !== process.arch
  const emulator = isForeign ? await emulatorOf(plan.arch) : undefined
  if (isForeign && emulator === undefined) {
    console.log(`build: no emulator for ${plan.arch} here (qemu-user-static): without code cache`)
  }
  const partial = join(plan.work, 'agent.partial')
  const config = join(plan.work, 'sea.json')
  const hasCache = !isForeign || emulator !== undefined
  // With the flags of the finished executable: V8 refuses a code cache made under other ones.
  const [command = node, ...prefix] = emulator === undefined ? [] : [...emulator, node]
  const runNode = (...args: readonly string[]) => must(command, [...prefix, ...nodeFlags, ...args])
  const caches: Record<string, string> = {}
  for (const { name, path, isWarmed } of plan.built.programs) {
    const cache = join(plan.work, `${name}.cache`)
    caches[`${name}.cache`] = cache
    writeFileSync(cache, '')
    if (hasCache) await runNode(codeCache, path, cache, ...(isWarmed ? ['warm'] : []))
  }
  const settings = {
    main: plan.built.main,
    output: partial,
    executable: node,
    disableExperimentalSEAWarning: true,
    useCodeCache: hasCache,
    // What follows is the agent's, also what looks like a flag of Node's (--env-file).
    execArgv: [...nodeFlags, '--'],
    execArgvExtension: 'none',
    assets: { ...plan.built.assets, ...caches },
  }
  writeFileSync(config, JSON.stringify(settings))
  await (isForeign && emulator === undefined
    ? must(process.execPath, [...nodeFlags, '--build-sea', config])
    : runNode('--build-sea', config))
  rmSync(plan.output, { force: true })
  // A copy, not a rename: the page cache keeps a file just written in large pieces, each of which
  // would count as resident memory of every process that touches a byte of it.
  await must('cp', [partial, plan.output])
}

/** The command line that runs programs of `arch` here, if there is one. */
export async function emulatorOf(arch: Architecture): Promise<string[] | undefined> {
  const machine = arch === 'arm64' ? 'aarch64' : 'x86_64'
  const program = `qemu-${machine}-static`
  const libraries = `/usr/${machine}-linux-gnu`
  return (await isThere(program)) ? [program, '-L', libraries] : undefined
}

function report(output: string, ms: number): void {
  const bytes = statSync(output).size
  const megabytes = (bytes / 1e6).toFixed(1)
  console.log(`build: ${output}, ${megabytes} MB, in ${(ms / 1000).toFixed(1)} s`)
  if (bytes > bytesMax) {
    throw new Error(`build: ${megabytes} MB is over the ${bytesMax / 1e6} MB that we allow`)
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } })
  const arch = architectures.find((known) => known === values.arch)
  if (arch === undefined) {
    throw new Error(`build: ARCH=${values.arch} is not one of ${architectures.join(', ')}`)
  }
  await build(arch)
}
