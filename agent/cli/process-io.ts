// The real CliIo: this process's streams, environment and signals. Files and terminals are opened when a
// command asks for them. The clock is the caller's, for it has a door of its own.

import { CodedError } from '../../core/base/error.ts'
import type { CliInput, CliIo, CliOutput } from './cli-io.ts'

/** The time, and a wait that an AbortSignal ends early. */
export type CliClock = Pick<CliIo, 'now' | 'sleep'>

/** The CliIo of this process. */
export function processIo(clock: CliClock): CliIo {
  return {
    ...clock,
    stdout: outputOf(() => process.stdout),
    stderr: outputOf(() => process.stderr),
    stdin: processInput(),
    env: process.env,
    folder: process.cwd(),
    readFile,
    onInterrupt: (handler) => {
      process.on('SIGINT', handler)
      return () => process.off('SIGINT', handler)
    },
  }
}

/** What a shell reports of a program whose reader went away: 128 + SIGPIPE. */
const exitCodeOfPipe = 141

/** Looking at a stream opens it, which takes milliseconds, and most commands have no use for stderr. */
function outputOf(open: () => NodeJS.WriteStream): CliOutput {
  let opened: NodeJS.WriteStream | undefined
  const stream = (): NodeJS.WriteStream => {
    opened ??= open().on('error', () => process.exit(exitCodeOfPipe))
    return opened
  }
  return {
    write: (text) => stream().write(text),
    drained: () =>
      stream().writableNeedDrain
        ? new Promise((resolve) => stream().once('drain', () => resolve()))
        : Promise.resolve(),
    get isTty() {
      return stream().isTTY === true
    },
    get columns() {
      return stream().isTTY === true && stream().columns > 0 ? stream().columns : undefined
    },
  }
}

async function readFile(path: string, sizeBytesMax?: number): Promise<Uint8Array> {
  const files = await import('node:fs/promises')
  try {
    const file = await files.open(path)
    try {
      return await readStream(file.createReadStream({ autoClose: false }), sizeBytesMax)
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw new CodedError('invalid-argument', `open ${path}: ${fileError(cause)}`, { cause })
  }
}

const fileErrors: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
}

function fileError(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return fileErrors[code] ?? (cause instanceof Error ? cause.message : String(cause))
}

async function readStream(
  stream: AsyncIterable<Uint8Array>,
  sizeBytesMax = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= sizeBytesMax) break
  }
  const all = Buffer.concat(chunks)
  return all.subarray(0, Math.min(all.length, sizeBytesMax))
}

function processInput(): CliInput {
  return {
    // A getter, for looking at stdin opens it, and most commands have no use for it.
    get isTty() {
      return process.stdin.isTTY === true
    },
    readAll: (sizeBytesMax) => readStream(process.stdin, sizeBytesMax),
    readLine: () => readInputLine({ isEchoed: true }),
    readSecretLine: () => readInputLine({ isEchoed: false }),
  }
}

async function readInputLine(options: { readonly isEchoed: boolean }): Promise<string> {
  const isHidden = process.stdin.isTTY === true && !options.isEchoed
  if (isHidden) process.stdin.setRawMode(true)
  try {
    return await firstLine({ isHidden })
  } finally {
    if (isHidden) process.stdin.setRawMode(false)
    process.stdin.pause()
  }
}

/** Characters that a raw terminal gives for Ctrl-C, Ctrl-D, delete and backspace. */
const [ctrlC, ctrlD, del, backspace] = ['\x03', '\x04', '\x7f', '\b']

async function firstLine(options: { readonly isHidden: boolean }): Promise<string> {
  let line = ''
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin.iterator({ destroyOnReturn: false })) {
    for (const character of String(chunk)) {
      if (character === '\n' || character === '\r') return line
      if (!options.isHidden) line += character
      else if (character === ctrlC) throw new CodedError('bad-request', 'interrupted')
      else if (character === ctrlD) return line
      else if (character === del || character === backspace) line = line.slice(0, -1)
      else line += character
    }
  }
  return line
}
