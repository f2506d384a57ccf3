// Reads the Test Anything Protocol, as much of it as decides whether a file of tests passed.
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
