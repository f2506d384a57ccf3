// What a command may touch of the world outside the API: streams, environment, clock. The host builds
// it once; tests build it from buffers. Nothing else in this folder asks the process for these.

/** Where a command writes. `columns` is a terminal's width, and absent when it is none. */
export interface CliOutput {
  readonly write: (text: string | Uint8Array) => void
  /** Resolves when the reader has caught up: whoever writes without end waits for it. */
  readonly drained: () => Promise<void>
  readonly isTty: boolean
  readonly columns?: number | undefined
}

/** Where a command reads. `readSecretLine` does not echo what is typed. */
export interface CliInput {
  readonly isTty: boolean
  readonly readAll: (sizeBytesMax: number) => Promise<Uint8Array>
  readonly readLine: () => Promise<string>
  readonly readSecretLine: () => Promise<string>
}

export interface CliIo {
  readonly stdout: CliOutput
  readonly stderr: CliOutput
  readonly stdin: CliInput
  readonly env: Readonly<Record<string, string | undefined>>
  readonly folder: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Resolves after the time, or at once when the signal is aborted; never rejects. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  /** Reads a file whole, or at most so many bytes of it. */
  readonly readFile: (path: string, sizeBytesMax?: number) => Promise<Uint8Array>
  /** Calls the handler on Ctrl-C until the returned function is called. */
  readonly onInterrupt: (handler: () => void) => () => void
}

/** Writes one line. */
export function writeLine(output: CliOutput, text = ''): void {
  output.write(`${text}\n`)
}

/** The body of an answer that has remarks. */
export interface WarningsJson {
  readonly Warnings?: readonly string[]
}

/** Remarks of the daemon, on standard error. */
export function writeWarnings(io: CliIo, answer: WarningsJson | undefined): void {
  for (const warning of answer?.Warnings ?? []) writeLine(io.stderr, `WARNING: ${warning}`)
}
