// Errors of the world: one class, one table. Callers branch on `code`, never on text.
//
// `rpc` is the gRPC code name that Docker Swarm shows in front of messages of its control API
// ("rpc error: code = AlreadyExists desc = ..."). Users and scripts know these texts, so we keep
// them: http shows `rpc error: code = RPC desc = MESSAGE` where `rpc` is given, else MESSAGE.

interface CodeRow {
  readonly status: number
  readonly rpc?: string
  readonly meaning: string
}

/** Code -> HTTP status, gRPC name shown in front of the message, meaning. */
export const errorCodes = {
  'bad-request': { status: 400, meaning: 'the request cannot be read' },
  'invalid-argument': { status: 400, rpc: 'InvalidArgument', meaning: 'a field breaks a rule' },
  'not-found': { status: 404, meaning: 'no object of that name or id' },
  conflict: { status: 409, meaning: 'the state forbids it' },
  'already-exists': { status: 409, rpc: 'AlreadyExists', meaning: 'the name is taken' },
  'failed-precondition': {
    status: 400,
    rpc: 'FailedPrecondition',
    meaning: 'not in the present state',
  },
  'out-of-sequence': { status: 500, rpc: 'Unknown', meaning: 'changed since it was read' },
  'in-use': { status: 400, rpc: 'InvalidArgument', meaning: 'something still refers to it' },
  'too-large': { status: 413, meaning: 'over a limit in bytes' },
  unimplemented: { status: 501, rpc: 'Unimplemented', meaning: 'Swarm has no such change' },
  'not-supported': { status: 501, meaning: 'known, and not honoured by this build' },
  'permission-denied': {
    status: 403,
    rpc: 'PermissionDenied',
    meaning: 'the other side does not trust this node',
  },
  'not-a-member': {
    status: 403,
    rpc: 'PermissionDenied',
    meaning: 'the cluster knows no node with that id and key',
  },
  'not-in-swarm': { status: 503, meaning: 'this node belongs to no cluster' },
  'not-a-manager': { status: 503, meaning: 'this node is a worker' },
  locked: { status: 503, meaning: 'the manager waits for its unlock key' },
  'no-leader': { status: 503, rpc: 'Unknown', meaning: 'no quorum of managers' },
  unavailable: { status: 503, meaning: 'a part we need does not answer' },
  'resource-exhausted': { status: 503, meaning: 'a queue or table is full' },
  timeout: { status: 504, meaning: 'no answer in time' },
  'damaged-data': { status: 500, meaning: 'data on disk is not what was written' },
  'disk-full': { status: 507, meaning: 'the state folder cannot be written' },
  engine: { status: 500, meaning: 'the container engine refused' },
  internal: { status: 500, meaning: 'a bug' },
} as const satisfies Record<string, CodeRow>

export type ErrorCode = keyof typeof errorCodes

/** An error with a code of the table. `detail` is for programs (logs, JSON), never a secret. */
export class CodedError extends Error {
  override readonly name = 'CodedError'
  readonly code: ErrorCode
  readonly detail: Readonly<Record<string, unknown>>
  constructor(
    code: ErrorCode,
    message: string,
    options: { detail?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail ?? {}
  }
}

/** True for a CodedError with one of the codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is CodedError {
  return error instanceof CodedError && codes.includes(error.code)
}

/** The text a client of the Docker API sees. */
export function formatError(error: CodedError): string {
  const row: CodeRow = errorCodes[error.code]
  return row.rpc === undefined
    ? error.message
    : `rpc error: code = ${row.rpc} desc = ${error.message}`
}
