// Reads the Test Anything Protocol, as much of it as decides whether a file of tests passed, and
// what to say when it did not.
//
//   TAP version 14
//       ok 1 - inside a subtest        indented: looked at for SKIP and TODO only
//   ok 1 - a test # time=3ms           counted
//   not ok 2 - another                 counted
//   1..2                               the plan: without it the file ended before its end

/** What a file's output says. `problem` is set where the output itself cannot be trusted. */
export interface TapResult {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly problem: string | undefined
}

const pointPattern = /^( *)(not )?ok\b(.*)$/
const directivePattern = /[^\\]# *(skip|todo)\b/i
const planPattern = /^1\.\.(\d+)\s*(?:#\s*(.*))?$/

/**
 * Counts the test points of the outermost level. A skipped or unfinished (TODO) point counts as
 * skipped on every level, for a test that hides a skip inside itself has not passed either.
 */
export function readTap(output: string): TapResult {
  let passed = 0
  let failed = 0
  let skipped = 0
  let skippedInside = 0
  let planned: number | undefined
  let problem: string | undefined
  for (const line of output.split('\n')) {
    const plan = planPattern.exec(line)
    if (plan !== null) {
      planned = Number(plan[1])
      if (planned === 0) skipped += 1
      continue
    }
    if (line.startsWith('Bail out!')) problem = line
    const point = pointPattern.exec(line)
    if (point === null) continue
    const isSkipped = directivePattern.test(point[3] ?? '')
    if ((point[1] ?? '').length > 0) skippedInside += isSkipped ? 1 : 0
    else if (isSkipped) skipped += 1
    else if (point[2] === undefined) passed += 1
    else failed += 1
  }
  const points = passed + failed + skipped
  if (problem === undefined && planned === undefined) problem = 'printed no TAP plan'
  else if (problem === undefined && planned !== 0 && planned !== points) {
    problem = `planned ${planned} tests, ran ${points}`
  }
  return { passed, failed, skipped: skipped + skippedInside, problem }
}

/** One file of a batch (scripts/test-batch.ts): what it printed, and how long it took. */
export interface BatchedFile {
  readonly output: string
  readonly ms: number
  readonly tap: TapResult
}

const batchedPattern = /^(not )?ok \d+ - (\S+) # (?:time=([\d.]+)ms|(skip|todo).*)$/i

/**
 * Takes the output of a batch apart: file -> what it printed by itself. A file that did not come to
 * its end is not in it.
 */
export function readBatch(output: string): ReadonlyMap<string, BatchedFile> {
  const files = new Map<string, BatchedFile>()
  let own: string[] = []
  for (const line of output.split('\n')) {
    if (line.startsWith('# Subtest: ')) own = []
    else if (line === '' || line.startsWith('    ')) own.push(line.slice(4))
    const end = batchedPattern.exec(line)
    const [, not, file] = end ?? []
    if (file === undefined) continue
    const tap = readTap(own.join('\n'))
    const hasHiddenFailure = not !== undefined && tap.failed === 0 && tap.problem === undefined
    const problem = hasHiddenFailure ? 'failed outside its tests' : tap.problem
    files.set(file, {
      output: own.join('\n').trimEnd(),
      ms: Number(end?.[3] ?? 0),
      tap: { ...tap, problem },
    })
  }
  return files
}

/** A failed point that no failed point inside it explains. */
export interface Failure {
  /** Names of the subtests around it and its own. */
  readonly path: readonly string[]
  /** FILE:LINE, where it is known. */
  readonly at: string | undefined
  /** Its diagnostics (diff, error, ...) but for the place, the stack and the source. */
  readonly details: readonly string[]
}

const subtestPattern = /^( *)# Subtest: (.*)$/
const dullKeys = new Set(['at', 'stack', 'source', 'compare', 'tapCaught'])

/** The innermost failures of a file's output, in order. */
export function readFailures(output: string): readonly Failure[] {
  const lines = output.split('\n')
  const failures: Failure[] = []
  const open: { readonly name: string; readonly indent: number; hasFailure: boolean }[] = []
  for (const [index, line] of lines.entries()) {
    const subtest = subtestPattern.exec(line)
    if (subtest !== null) {
      const [, indent = '', name = ''] = subtest
      open.push({ name, indent: indent.length, hasFailure: false })
      continue
    }
    const point = pointPattern.exec(line)
    if (point === null) continue
    const [, { length: indent } = '', not, rest = ''] = point
    const ended = open.at(-1)?.indent === indent ? open.pop() : undefined
    if (not === undefined || directivePattern.test(rest)) continue
    const parent = open.at(-1)
    if (parent !== undefined) parent.hasFailure = true
    if (ended?.hasFailure === true) continue
    const name = rest.replace(/^ *\d* *-? */, '').replace(/ # time=.*$/, '')
    const block = diagnosticsAfter(lines, index, indent + 2)
    failures.push({ path: [...open.map((one) => one.name), name], ...readDiagnostics(block) })
  }
  return failures
}

/** The lines between `---` and `...` that follow a point, without their indentation or blanks. */
function diagnosticsAfter(lines: readonly string[], index: number, indent: number): string[] {
  const margin = ' '.repeat(indent)
  if (lines[index + 1] !== `${margin}---`) return []
  const end = lines.indexOf(`${margin}...`, index)
  const block = lines.slice(index + 2, end === -1 ? undefined : end)
  return block.map((line) => line.slice(indent)).filter((line) => line.trim() !== '')
}

function readDiagnostics(block: readonly string[]): Omit<Failure, 'path'> {
  const details: string[] = []
  const place: Record<string, string> = {}
  let key = ''
  for (const line of block) {
    key = /^(\w+):/.exec(line)?.[1] ?? key
    const [, name, value] = /^ {2}(fileName|lineNumber): (.*)$/.exec(line) ?? []
    if (key === 'at' && name !== undefined) place[name] = value ?? ''
    if (!dullKeys.has(key)) details.push(line)
  }
  const { fileName, lineNumber } = place
  return { at: fileName === undefined ? undefined : `${fileName}:${lineNumber}`, details }
}
