// Runs tests: `node scripts/test.ts check unit sim build e2e`, or single files by their paths.
//
// Each file is a program of its own that prints TAP; nothing is shared between files but the
// machine. A file fails by a failed test, and also when it crashes, runs too long or ends before
// its plan. Prints one line a file, the output of those that failed, and last the counts alone on
// a line. With CI=true a skipped test is a failed one: a green CI must have run everything.

import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { endGroupsOnSignal, run } from './process.ts'
import { readTap } from './tap.ts'

interface Job {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Printed TAP decides; otherwise the exit code alone, as one test. */
  readonly isTap: boolean
  readonly timeoutMs: number
}

interface Phase {
  readonly folders: readonly string[]
  readonly jobsAtOnce: number
  readonly timeoutMs: number
  readonly needsRoot: boolean
  /** Programs other than test files. */
  readonly programs?: readonly Job[]
}

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const root = join(import.meta.dirname, '..')
const secondMs = 1000
const minuteMs = 60 * secondMs

const phases: Readonly<Record<string, Phase>> = {
  check: {
    folders: ['test/tidy.test.ts'],
    jobsAtOnce: 2,
    timeoutMs: minuteMs,
    needsRoot: false,
    programs: [
      program('tsc --noEmit', 'typescript/bin/tsc', ['--noEmit']),
      program('biome check', '@biomejs/biome/bin/biome', ['check', '--error-on-warnings', '.']),
    ],
  },
  unit: {
    folders: ['test/core', 'test/net', 'test/agent', 'test/scripts'],
    jobsAtOnce: 2,
    timeoutMs: minuteMs,
    needsRoot: false,
  },
  sim: { folders: ['test/sim'], jobsAtOnce: 2, timeoutMs: 5 * minuteMs, needsRoot: false },
  build: { folders: ['test/build'], jobsAtOnce: 1, timeoutMs: 15 * minuteMs, needsRoot: false },
  // One at a time: each file has engines and clusters of its own, and measures times.
  e2e: { folders: ['test/e2e'], jobsAtOnce: 1, timeoutMs: 10 * minuteMs, needsRoot: true },
}

function program(name: string, script: string, args: readonly string[]): Job {
  const path = join(root, 'node_modules', script)
  const command = process.execPath
  return { name, command, args: [path, ...args], isTap: false, timeoutMs: 5 * minuteMs }
}

function testFilesIn(path: string): string[] {
  const full = join(root, path)
  if (!existsSync(full)) return []
  if (path.endsWith('.test.ts')) return [path]
  return readdirSync(full, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(path, name))
    .sort()
}

function jobOf(file: string, timeoutMs: number): Job {
  const args = ['--disable-warning=ExperimentalWarning', file]
  return { name: file, command: process.execPath, args, isTap: true, timeoutMs }
}

async function runPhase(name: string, phase: Phase): Promise<Outcome> {
  const files = phase.folders.flatMap(testFilesIn)
  if (phase.needsRoot && process.getuid?.() !== 0) {
    for (const file of files) printLine({ mark: 'skip', ms: 0, text: 'needs root', name: file })
    console.log(`     ${name}: skipped, for it starts engines in namespaces. As root it runs.`)
    return { passed: 0, failed: 0, skipped: files.length }
  }
  const jobs = [...(phase.programs ?? []), ...files.map((file) => jobOf(file, phase.timeoutMs))]
  if (jobs.length === 0) console.log(`     ${name}: no tests yet`)
  return runJobs(jobs, phase.jobsAtOnce)
}

async function runJobs(jobs: readonly Job[], jobsAtOnce: number): Promise<Outcome> {
  const waiting = [...jobs]
  const outcomes: Outcome[] = []
  async function worker(): Promise<void> {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      outcomes.push(await runJob(job))
    }
  }
  await Promise.all(Array.from({ length: jobsAtOnce }, worker))
  return total(outcomes)
}

async function runJob(job: Job): Promise<Outcome> {
  const env = { ...process.env, TAP: '1', NO_COLOR: '1' }
  const ended = await run(job.command, job.args, { timeoutMs: job.timeoutMs, cwd: root, env })
  const tap = job.isTap
    ? readTap(ended.stdout)
    : { passed: ended.code === 0 ? 1 : 0, failed: 0, skipped: 0, problem: undefined }
  const problem = ended.timedOut
    ? `ran longer than ${job.timeoutMs / secondMs} s and was ended`
    : (tap.problem ??
      (ended.code === 0 || tap.failed > 0 ? undefined : `ended with ${ended.code ?? ended.signal}`))
  const failed = tap.failed + (problem === undefined ? 0 : 1)
  const hasFailed = failed > 0 || (process.env['CI'] === 'true' && tap.skipped > 0)
  printLine({
    mark: hasFailed ? 'FAIL' : 'ok',
    ms: ended.ms,
    text: formatCounts({ passed: tap.passed, failed, skipped: tap.skipped }),
    name: problem === undefined ? job.name : `${job.name}: ${problem}`,
  })
  if (hasFailed) console.log(indent(`${ended.stdout}${ended.stderr}`))
  return { passed: tap.passed, failed, skipped: tap.skipped }
}

function total(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((sum, outcome) => sum + outcome.passed, 0),
    failed: outcomes.reduce((sum, outcome) => sum + outcome.failed, 0),
    skipped: outcomes.reduce((sum, outcome) => sum + outcome.skipped, 0),
  }
}

function formatCounts(outcome: Outcome): string {
  const skipped = outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : ''
  return `${outcome.passed} passed, ${outcome.failed} failed${skipped}`
}

function printLine(line: { mark: string; ms: number; text: string; name: string }): void {
  const seconds = `${(line.ms / secondMs).toFixed(1)} s`
  console.log(`${line.mark.padEnd(4)} ${seconds.padStart(8)}  ${line.name} (${line.text})`)
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '     | ')
}

async function main(names: readonly string[]): Promise<void> {
  endGroupsOnSignal()
  const started = performance.now()
  const outcomes: Outcome[] = []
  for (const name of names) {
    const phase = phases[name]
    if (phase !== undefined) outcomes.push(await runPhase(name, phase))
    else if (testFilesIn(relative(root, name)).length > 0 || testFilesIn(name).length > 0) {
      const files = testFilesIn(name)
      const jobs = files.map((file) => jobOf(file, 15 * minuteMs))
      outcomes.push(await runJobs(jobs, 1))
    } else {
      const known = Object.keys(phases).join(', ')
      console.error(`test: ${name} is neither a test file, a folder of such, nor one of ${known}`)
      process.exitCode = 2
      return
    }
  }
  const sum = total(outcomes)
  const isStrict = process.env['CI'] === 'true'
  if (isStrict && sum.skipped > 0) console.log('CI=true: skipped tests count as failures')
  console.log(`${((performance.now() - started) / secondMs).toFixed(1)} s in all`)
  console.log(formatCounts(sum))
  if (sum.passed + sum.failed === 0) console.log('nothing has run, and that is no success')
  const isGreen = sum.failed === 0 && (!isStrict || sum.skipped === 0)
  if (!isGreen || sum.passed === 0) process.exitCode = 1
}

await main(process.argv.slice(2))
