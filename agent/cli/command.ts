// What a command is: a row of a table, with its flags and how many arguments it takes. The code behind
// it is loaded when it runs, so that a table of all commands costs nothing.

import { CodedError } from '../../core/base/error.ts'
import type { Api } from './api.ts'
import type { CliIo } from './cli-io.ts'
import type { Flag, FlagValues } from './flags.ts'

/** What a running command is given. */
export interface Call {
  readonly io: CliIo
  readonly api: Api
  /** Words that name the command, e.g. "agent service ls". */
  readonly path: string
  readonly args: readonly string[]
  readonly flags: FlagValues
}

/** How many arguments a command takes; `max` absent: any number. */
export interface ArgumentRule {
  readonly min: number
  readonly max?: number
}

export interface Command {
  readonly type: 'command'
  readonly name: string
  readonly aliases?: readonly string[]
  /** Other full names that help shows as aliases. */
  readonly aliasPaths?: readonly string[]
  /** What follows the name in the usage line. */
  readonly usage: string
  readonly short: string
  readonly arguments: ArgumentRule
  readonly flags: readonly Flag[]
  /** false: the first argument ends the flags, as a command line of its own follows. */
  readonly isInterspersed?: boolean
  readonly isHidden?: boolean
  /** Without any flag there is nothing to do, and help is shown. */
  readonly isHelpWithoutFlags?: boolean
  /** Says what is wrong with the arguments, for rules that a count does not tell. */
  readonly checkArguments?: (args: readonly string[], command: PlacedCommand) => void
  /** Resolves with an exit code, or nothing for 0. Throws CodedError. */
  readonly run: (call: Call) => Promise<number | undefined>
}

export interface CommandGroup {
  readonly type: 'group'
  readonly name: string
  readonly short: string
  readonly commands: readonly Command[]
}

export type AnyCommand = Command | CommandGroup

/** A command and the words that lead to it. */
export interface PlacedCommand {
  readonly command: AnyCommand
  readonly path: string
}

/** No arguments, exactly n, at least n, between two numbers. */
export const none: ArgumentRule = { min: 0, max: 0 }
export const exactly = (count: number): ArgumentRule => ({ min: count, max: count })
export const atLeast = (min: number): ArgumentRule => ({ min })
export const between = (min: number, max: number): ArgumentRule => ({ min, max })

/** The line that shows how a command is called. */
export function usageLine({ command, path }: PlacedCommand): string {
  return command.type === 'group' ? path : `${path} ${command.usage}`.trim()
}

/** An error that ends the command with an exit code of its own. */
export function exitError(message: string, exitCode: number): CodedError {
  return new CodedError('invalid-argument', message, { detail: { exitCode } })
}

/** Errors of several objects, one a line, as one error. Nothing happens when there are none. */
export function throwAll(messages: readonly string[]): void {
  if (messages.length > 0) throw new CodedError('bad-request', messages.join('\n'))
}

/** The text of what was thrown; a bug is thrown on. */
export function messageOf(error: unknown): string {
  if (error instanceof CodedError) return error.message
  throw error
}
