// Assertions: what only a bug can break. A failed one ends the process, because a manager that
// is wrong does more harm than one that is dead. What the world can do to us is a CodedError.

/** Thrown by a failed assertion. Nobody catches it but the process's last handler. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws AssertionError unless the condition holds; `what` says what should have been true. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionError(what)
}

/** The default of every switch over a union: a new member then fails to compile here. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}

/** Returns the value, which is known to be there; `what` names it for the day it is not. */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, `${what} is missing`)
  return value
}
