// A CliIo in memory: outputs are texts, files are a record, and time passes only by sleeping.

import { type LocalCommands, runCli } from '../../../../agent/cli/cli.ts'
import type { CliIo } from '../../../../agent/cli/cli-io.ts'
import { CodedError } from '../../../../core/base/error.ts'

/** What a test may set. */
export interface MemoryOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  readonly input?: string
  readonly isTty?: boolean
  readonly columns?: number
  readonly nowMs?: number
  /** Ctrl-C is pressed during this sleep, counted from 1. */
  readonly interruptAtSleep?: number
}

/** What a run wrote, and how it ended. */
export interface RunResult {
  readonly exitCode: number
  readonly out: string
  readonly err: string
}

/** Runs a command line. */
export async function run(
  argv: readonly string[],
  options: MemoryOptions = {},
  local?: LocalCommands,
): Promise<RunResult> {
  const written = { out: '', err: '' }
  const exitCode = await runCli(argv, memoryIo(written, options), local)
  return { exitCode, ...written }
}

function memoryIo(written: { out: string; err: string }, options: MemoryOptions): CliIo {
  let nowMs = options.nowMs ?? Date.parse('2026-11-22T17:00:00Z')
  let sleeps = 0
  let handler: (() => void) | undefined
  const tty = {
    isTty: options.isTty ?? false,
    drained: () => Promise.resolve(),
    ...(options.columns === undefined ? {} : { columns: options.columns }),
  }
  const textOf = (text: string | Uint8Array): string =>
    typeof text === 'string' ? text : Buffer.from(text).toString('utf8')
  const input = options.input ?? ''
  return {
    stdout: {
      ...tty,
      write: (text) => {
        written.out += textOf(text)
      },
    },
    stderr: {
      ...tty,
      write: (text) => {
        written.err += textOf(text)
      },
    },
    stdin: {
      isTty: tty.isTty,
      readAll: async () => Buffer.from(input),
      readLine: async () => input.split('\n')[0] ?? '',
      readSecretLine: async () => input.split('\n')[0] ?? '',
    },
    env: options.env ?? {},
    folder: '/home/me',
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms
      sleeps++
      if (sleeps === options.interruptAtSleep) handler?.()
    },
    readFile: async (path) => {
      const text = options.files?.[path]
      if (text !== undefined) return Buffer.from(text)
      throw new CodedError('invalid-argument', `open ${path}: no such file or directory`)
    },
    onInterrupt: (wanted) => {
      handler = wanted
      return () => {
        handler = undefined
      }
    },
  }
}
