// Problems: what is wrong with a spec, found by rules that go on after the first, so that a user
// mends all of it at once.

import { CodedError, type ErrorCode } from '../base/error.ts'
import { limits } from '../base/limits.ts'

export interface Problem {
  readonly code: ErrorCode
  /** Where in the JSON: "Spec.TaskTemplate.Placement.Constraints[0]". */
  readonly path: string
  /** The sentence, Swarm's own where Swarm has the rule. */
  readonly message: string
}

/** A broken rule of the cluster's API. */
export function invalid(path: string, message: string): Problem {
  return { code: 'invalid-argument', path, message }
}

/** Throws the first problem; all of them stand in `detail.problems`. */
export function throwFirst(found: Iterable<Problem>): void {
  const problems = [...found]
  const [first] = problems
  if (first === undefined) return
  const lines = problems.map(({ path, message }) => `${path}: ${message}`)
  const rest = lines.length - limits.problemsMax
  throw new CodedError(first.code, first.message, {
    detail: {
      path: first.path,
      problems:
        rest > 0 ? [...lines.slice(0, limits.problemsMax), `and ${rest} more problems`] : lines,
    },
  })
}
