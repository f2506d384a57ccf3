// A step of a story that the demo tells: lines that are typed as they stand, and a check of what they
// print; what a check returns is what the step has proved. And the ways to look at output.

import type { Stage } from './stage.ts'

/** A line for the first machine, or one for another, which may need what was learned before. */
export type Line =
  | string
  | { readonly on: number; readonly text: string | ((stage: Stage) => string) }

export interface Story {
  readonly machines: { readonly hosts: number; readonly farHosts: number }
  readonly steps: readonly Step[]
}

export interface Step {
  readonly title: string
  /** Told before the lines, where they do not speak for themselves. */
  readonly told?: string
  readonly lines: readonly Line[]
  /** Runs after the lines, with what each of them printed; throws when the step has failed. */
  readonly check?: (outputs: readonly string[], stage: Stage) => string | Promise<string>
  /** Goes on beside the lines, from before the first until after the last. */
  readonly beside?: (stage: Stage) => Promise<() => Promise<string>>
  /** Where false, the step is left out. */
  readonly isPossible?: () => boolean
}

/** Throws unless the output has this. */
export function expect(output: string, pattern: RegExp, what: string): void {
  if (!pattern.test(output))
    throw new Error(`not so: ${what} (looked for ${pattern} in the output)`)
}

/** Throws unless it is there so many times. */
export function expectCount(output: string, pattern: RegExp, want: number, what: string): void {
  const found = count(output, pattern)
  if (found !== want) throw new Error(`${found} ${what} where ${want} were expected`)
}

/** Checks the lines of `uniq --count`: how many requests, by how many containers, all of a version. */
export function expectAnswers(
  answers: string,
  want: { readonly requests: number; readonly containers: number; readonly version: string },
): void {
  const rows = [...answers.matchAll(/^ *(\d+) .*version (\S+) on (\S+?)</gm)]
  const requests = rows.reduce((sum, row) => sum + Number(row[1]), 0)
  const versions = new Set(rows.map((row) => row[2]))
  if (requests !== want.requests) {
    throw new Error(`${requests} of ${want.requests} requests were answered`)
  }
  if (rows.length !== want.containers) {
    throw new Error(`${rows.length} containers answered where ${want.containers} should have`)
  }
  if (versions.size !== 1 || !versions.has(want.version)) {
    throw new Error(`versions ${[...versions].join(', ')} answered where ${want.version} should`)
  }
}

/** How many times it is there. */
export function count(output: string, pattern: RegExp): number {
  return [...output.matchAll(pattern)].length
}
