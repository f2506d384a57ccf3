// Runs tests: `node scripts/test.ts check unit sim build e2e`, or single files by their paths.
//
// Each file is a program of its own that prints TAP; nothing is shared between files but the
// machine. Those of the unit phase are so small that starting each costs more than running it: they
// share a few processes (test-batch.ts), and one that does not come to its end there is run alone.
//
// A file fails by a failed test, and also when it crashes, runs too long or ends before its plan.
// Files of the e2e phase start engines and clusters on a machine that may be busy: one that fails is
// run once more, and if it passes then, the end of the log says so as loudly as a failure.
//
// Prints one line a file, the output of those that failed, and at the end, where one looks first,
// what failed in short and the counts alone on a line. With CI=true a skipped test is a failed one:
// a green CI must have run everything.

import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Ended, endGroupsOnSignal, run } from './process.ts'
import { type Failure, readBatch, readFailures, readTap, type TapResult } from './tap.ts'

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
  /** How often a file that fails is run (default once). */
  readonly tries?: number
  /** Absent: a process for each file. Otherwise that many processes share them. */
  readonly batches?: number
  /** Programs other than test files. */
  readonly programs?: readonly Job[]
}

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** What a file that failed says in the last lines. */
interface FailedFile {
  readonly name: string
  readonly problem: string | undefined
  readonly failures: readonly Failure[]
  /** Its last lines, for the case that nothing in its output is a failed test. */
  readonly tail: readonly string[]
}

/** How a file or program ended, alone or in a batch. */
interface JobEnd {
  readonly ms: number
  readonly output: string
  readonly tap: TapResult
}

const root = join(import.meta.dirname, '..')
const secondMs = 1000
const minuteMs = 60 * secondMs
const failuresMax = 20
const detailLinesMax = 25
const failedFiles: FailedFile[] = []
/** Failed, and passed when they were run again. */
const shakyFiles: FailedFile[] = []

/** Node keeps here what it has made of sources: types stripped, code compiled. */
const compileCache = join(root, 'node_modules/.cache/skep/compile')

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
    timeoutMs: 4 * minuteMs,
    needsRoot: false,
    batches: 4, // For two cores: some tests wait for a socket or a child.
  },
  sim: { folders: ['test/sim'], jobsAtOnce: 2, timeoutMs: 5 * minuteMs, needsRoot: false },
  build: { folders: ['test/build'], jobsAtOnce: 1, timeoutMs: 15 * minuteMs, needsRoot: false },
  // One at a time: each file has engines and clusters of its own, and measures times.
  e2e: {
    folders: ['test/e2e'],
    jobsAtOnce: 1,
    timeoutMs: 10 * minuteMs,
    needsRoot: true,
    tries: 2,
  },
  // Of clusters whose links and machines fail for minutes: part of `make soak`.
  long: { folders: ['test/long'], jobsAtOnce: 1, timeoutMs: 15 * minuteMs, needsRoot: true },
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
  const inBatches = phase.batches === undefined ? undefined : await runBatches(files, phase)
  const alone = inBatches?.unfinished ?? files
  const jobs = [...(phase.programs ?? []), ...alone.map((file) => jobOf(file, phase.timeoutMs))]
  if (jobs.length === 0 && files.length === 0) console.log(`     ${name}: no tests yet`)
  return total([...(inBatches?.outcomes ?? []), await runJobs(jobs, phase)])
}

/** Deals the files to the batches and runs these at once; returns what did not end in its batch. */
async function runBatches(
  files: readonly string[],
  phase: Phase,
): Promise<{ outcomes: Outcome[]; unfinished: string[] }> {
  const outcomes: Outcome[] = []
  const unfinished: string[] = []
  const count = Math.min(phase.batches ?? 1, files.length)
  async function runBatch(own: readonly string[]): Promise<void> {
    const args = ['--disable-warning=ExperimentalWarning', 'scripts/test-batch.ts', ...own]
    const ended = await runNode({ command: process.execPath, args, timeoutMs: phase.timeoutMs })
    const ends = readBatch(ended.stdout)
    // What is in the output of no file: a crash, or warnings.
    if (ends.size < own.length || ended.stderr !== '') console.log(indent(ended.stderr))
    for (const file of own) {
      const end = ends.get(file)
      if (end === undefined) unfinished.push(file)
      else outcomes.push(report(file, end))
    }
  }
  await Promise.all(
    Array.from({ length: count }, (_, batch) =>
      runBatch(files.filter((_file, index) => index % count === batch)),
    ),
  )
  return { outcomes, unfinished }
}

async function runJobs(
  jobs: readonly Job[],
  how: { readonly jobsAtOnce: number; readonly tries?: number },
): Promise<Outcome> {
  const waiting = [...jobs]
  const outcomes: Outcome[] = []
  async function worker(): Promise<void> {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      outcomes.push(await runJob(job, how.tries ?? 1))
    }
  }
  await Promise.all(Array.from({ length: how.jobsAtOnce }, worker))
  return total(outcomes)
}

async function runJob(job: Job, tries: number): Promise<Outcome> {
  const outcome = report(job.name, await endOf(job))
  if (outcome.failed === 0 || tries <= 1) return outcome
  const first = failedFiles.pop()
  console.log(`     ${job.name} is run again`)
  const again = await runJob(job, tries - 1)
  if (again.failed === 0 && first !== undefined) shakyFiles.push(first)
  return again
}

async function endOf(job: Job): Promise<JobEnd> {
  const ended = await runNode(job)
  const tap = job.isTap
    ? readTap(ended.stdout)
    : { passed: ended.code === 0 ? 1 : 0, failed: 0, skipped: 0, problem: undefined }
  const problem = ended.timedOut
    ? `ran longer than ${job.timeoutMs / secondMs} s and was ended`
    : (tap.problem ??
      (ended.code === 0 || tap.failed > 0 ? undefined : `ended with ${ended.code ?? ended.signal}`))
  const output = `${ended.stdout}${ended.stderr}`
  return { ms: ended.ms, output, tap: { ...tap, problem } }
}

function runNode(job: Pick<Job, 'command' | 'args' | 'timeoutMs'>): Promise<Ended> {
  const cache = { NODE_COMPILE_CACHE: compileCache }
  const env = { ...process.env, ...cache, TAP: '1', NO_COLOR: '1' }
  return run(job.command, job.args, { timeoutMs: job.timeoutMs, cwd: root, env })
}

/** Prints the file's line, and its output if it failed. */
function report(name: string, end: JobEnd): Outcome {
  const { ms, output, tap } = end
  const { problem, passed, skipped } = tap
  const failed = tap.failed + (problem === undefined ? 0 : 1)
  const hasFailed = failed > 0 || (process.env['CI'] === 'true' && skipped > 0)
  printLine({
    mark: hasFailed ? 'FAIL' : 'ok',
    ms,
    text: formatCounts({ passed, failed, skipped }),
    name: problem === undefined ? name : `${name}: ${problem}`,
  })
  if (hasFailed) {
    console.log(indent(output))
    const tail = output.trimEnd().split('\n').slice(-detailLinesMax)
    failedFiles.push({ name, problem, failures: readFailures(output), tail })
  }
  return { passed, failed, skipped }
}

/** The failures once more, in short: the end of a long log is what is read first, or at all. */
function printFiles(mark: string, files: readonly FailedFile[]): void {
  for (const { name, problem, failures, tail } of files) {
    console.log(`${mark} ${problem === undefined ? name : `${name}: ${problem}`}`)
    for (const failure of failures.slice(0, failuresMax)) {
      const { path, at, details } = failure
      console.log(`  ${path.join(' > ')}${at === undefined ? '' : ` (${at})`}`)
      for (const line of details.slice(0, detailLinesMax)) console.log(`    ${line}`)
      const left = details.length - detailLinesMax
      if (left > 0) console.log(`    and ${left} more lines above`)
    }
    const left = failures.length - failuresMax
    if (left > 0) console.log(`  and ${left} more failed tests above`)
    if (failures.length === 0) for (const line of tail) console.log(`    ${line}`)
  }
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
      outcomes.push(await runJobs(jobs, { jobsAtOnce: 1 }))
    } else {
      const known = Object.keys(phases).join(', ')
      console.error(`test: ${name} is neither a test file, a folder of such, nor one of ${known}`)
      process.exitCode = 2
      return
    }
  }
  printFiles('FAILED ONCE, AND PASSED WHEN RUN AGAIN:', shakyFiles)
  printFiles('FAILED', failedFiles)
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
