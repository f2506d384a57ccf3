// The command line: finds the command, reads its flags, runs it, turns errors into texts and exit codes.
//
//   agent [global flags] group verb [flags] args     exit 125: a flag is wrong
//                                                    exit 1: anything else went wrong
//
// The API's commands stand in commands.ts; the host adds its own (daemon, service-unit...) by the same
// kind of row, and a row of the host's takes the place of one with the same name.

import { CodedError } from '../../core/base/error.ts'
import { Api, compareVersions, hostDefault } from './api.ts'
import { type CliIo, writeLine } from './cli-io.ts'
import {
  type AnyCommand,
  type Command,
  exitError,
  type PlacedCommand,
  usageLine,
} from './command.ts'
import { apiCommands } from './commands.ts'
import { type Flag, type FlagValues, flagValues, parseFlags } from './flags.ts'
import { columnsDefault, formatHelp, formatRootHelp } from './help.ts'
import { compareNatural } from './natural.ts'
import { formatHumanDuration } from './units.ts'

/** Commands of the host, beside those of the API. */
export type LocalCommands = readonly AnyCommand[]

/** The program's name, as help and errors show it. */
const programName = 'agent'
const programShort = 'A swarm of containers in one file'

/** Flags that stand before the command, and behind it where the command has none of that name. */
const globalFlags: readonly Flag[] = [
  {
    name: 'host',
    short: 'H',
    kind: 'string',
    help: 'Socket of the agent to connect to',
    default: hostDefault,
  },
]
const versionFlag: Flag = {
  name: 'version',
  short: 'v',
  kind: 'bool',
  help: 'Print version information and quit',
}

/**
 * Runs a command line, without the program's own name in it, and resolves with the exit code. What goes
 * wrong is told on stderr; only a bug throws.
 */
export async function runCli(
  argv: readonly string[],
  io: CliIo,
  localCommands: LocalCommands = [],
): Promise<number> {
  const commands = mergeCommands(apiCommands, localCommands)
  try {
    return await dispatch({ argv, io, commands })
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    if (error.message !== '') writeLine(io.stderr, error.message)
    const exitCode = error.detail['exitCode']
    return typeof exitCode === 'number' ? exitCode : 1
  }
}

function mergeCommands(
  commands: readonly AnyCommand[],
  local: LocalCommands,
): readonly AnyCommand[] {
  const replaced = new Set(local.map((command) => command.name))
  return [...commands.filter((command) => !replaced.has(command.name)), ...local]
}

interface Line {
  readonly argv: readonly string[]
  readonly io: CliIo
  readonly commands: readonly AnyCommand[]
}

type Values = ReadonlyMap<string, readonly string[]>

async function dispatch(line: Line): Promise<number> {
  const { io, commands } = line
  const flags = [...globalFlags, versionFlag]
  const start = parseOrExplain(line.argv, {
    flags,
    isInterspersed: false,
    usage: `${programName} [OPTIONS] COMMAND [ARG...]`,
    path: programName,
  })
  if (start.values.has('version')) return runVersionFlag(line)
  const [word, ...rest] = start.rest
  if (word === undefined) return showRootHelp(line)
  if (start.isHelp) return showHelpTopic(line, start.rest)
  if (word === 'help') return showHelpTopic(line, rest)
  const found = findCommand(commands, word)
  if (found === undefined) throw unknownCommand({ path: programName, commands }, word)
  const placed = { command: found, path: `${programName} ${found.name}` }
  if (found.type === 'command') {
    return runCommand(line, {
      placed: { ...placed, command: found },
      words: rest,
      given: start.values,
    })
  }
  const usage = usageLine(placed)
  const inner = parseOrExplain(rest, {
    flags: globalFlags,
    isInterspersed: false,
    usage,
    path: placed.path,
  })
  const [verb, ...words] = inner.rest
  if (verb === undefined || inner.isHelp) {
    const output = inner.isHelp ? io.stdout : io.stderr
    output.write(formatHelp(placed, columnsOf(io)))
    return 0
  }
  const command = findCommand(found.commands, verb)
  if (command === undefined || command.type === 'group') {
    throw unknownCommand({ path: placed.path, commands: found.commands }, verb)
  }
  return runCommand(line, {
    placed: { command, path: `${placed.path} ${command.name}` },
    words,
    given: new Map([...start.values, ...inner.values]),
  })
}

function findCommand(commands: readonly AnyCommand[], word: string): AnyCommand | undefined {
  return commands.find(
    (command) =>
      command.name === word ||
      (command.type === 'command' && (command.aliases ?? []).includes(word)),
  )
}

interface RunningCommand {
  readonly placed: { readonly command: Command; readonly path: string }
  readonly words: readonly string[]
  /** Global flags that stood before the command. */
  readonly given: Values
}

async function runCommand(line: Line, running: RunningCommand): Promise<number> {
  const { placed, words } = running
  const { command } = placed
  const own = new Set(command.flags.map((flag) => flag.name))
  const flags = [...command.flags, ...globalFlags.filter((flag) => !own.has(flag.name))]
  const parsed = parseOrExplain(words, {
    flags,
    isInterspersed: command.isInterspersed !== false,
    usage: usageLine(placed),
    path: placed.path,
  })
  const isBare = command.isHelpWithoutFlags === true && parsed.values.size === 0
  if (parsed.isHelp) return showHelp(line.io, placed)
  checkCount(placed, parsed.rest)
  command.checkArguments?.(parsed.rest, placed)
  if (isBare) return showHelp(line.io, placed)
  const host =
    (own.has('host') ? undefined : parsed.values.get('host')?.at(-1)) ??
    running.given.get('host')?.at(-1) ??
    line.io.env['AGENT_HOST']
  const api = new Api(host === undefined || host === '' ? hostDefault : host)
  try {
    const values = flagValues(flags, parsed.values)
    await checkVersion(api, values)
    const call = { io: line.io, api, path: placed.path, args: parsed.rest, flags: values }
    return (await command.run(call)) ?? 0
  } finally {
    api.close()
    if (api.staleMs !== undefined) {
      const ago = formatHumanDuration(api.staleMs).toLowerCase()
      writeLine(line.io.stderr, `WARNING: no leader answers: this is how things stood ${ago} ago`)
    }
  }
}

/** Parses flags; what is wrong with them is told with how the command is used. */
function parseOrExplain(
  words: readonly string[],
  how: {
    readonly flags: readonly Flag[]
    readonly isInterspersed: boolean
    readonly usage: string
    readonly path: string
  },
) {
  try {
    return parseFlags(words, how)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw exitError(
      `${error.message}\n\nUsage:  ${how.usage}\n\nRun '${how.path} --help' for more information`,
      125,
    )
  }
}

/** Versions below this are spoken by every daemon. */
const versionAlways = '1.25'

/** Throws when a given flag is newer than the daemon. */
async function checkVersion(api: Api, flags: FlagValues): Promise<void> {
  const errors: string[] = []
  for (const flag of flags.given()) {
    const { since } = flag
    if (since === undefined || compareVersions(since, versionAlways) <= 0) continue
    const version = await api.version()
    if (compareVersions(since, version) > 0) {
      errors.push(
        `"--${flag.name}" requires API version ${since}, but the Skep agent API version is ${version}`,
      )
    }
  }
  if (errors.length > 0) throw exitError(errors.join('\n'), 1)
}

function checkCount(placed: RunningCommand['placed'], args: readonly string[]): void {
  const { min, max } = placed.command.arguments
  if (args.length >= min && (max === undefined || args.length <= max)) return
  const plural = (count: number): string => `${count} argument${count === 1 ? '' : 's'}`
  let rule: string
  let seeHelp = 'Run'
  if (max === 0) rule = 'accepts no arguments'
  else if (max === undefined) {
    rule = `requires at least ${plural(min)}`
    seeHelp = 'See'
  } else if (max === min) rule = `requires ${plural(min)}`
  else if (min === 0) rule = `requires at most ${plural(max)}`
  else rule = `requires at least ${min} and at most ${plural(max)}`
  throw exitError(
    `${programName}: '${placed.path}' ${rule}\n\nUsage:  ${usageLine(placed)}\n\n${seeHelp} '${placed.path} --help' for more information`,
    1,
  )
}

function unknownCommand(
  group: { readonly path: string; readonly commands: readonly AnyCommand[] },
  word: string,
): CodedError {
  const guesses = similarNames(
    word,
    group.commands.map((command) => command.name),
  )
  const guess =
    guesses.length === 0
      ? ''
      : `\n\nDid you mean this?\n${guesses.map((name) => `    ${group.path} ${name}`).join('\n')}`
  const usage = group.path === programName ? '' : `\n\nUsage:  ${group.path}`
  return exitError(
    `${programName}: unknown command: ${group.path} ${word}${guess}${usage}\n\nRun '${group.path} --help' for more information`,
    1,
  )
}

/** Names that a typing error or an unfinished word may stand for. */
function similarNames(word: string, names: readonly string[]): readonly string[] {
  const lower = word.toLowerCase()
  // One slip in a short word, two in a long one.
  const slipsMax = lower.length < 5 ? 1 : 2
  return names
    .filter((name) => distance(lower, name) <= slipsMax || name.startsWith(lower))
    .toSorted(compareNatural)
}

/** Letters to add, take out or replace to make one word of another (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at)
  for (let at = 0; at < one.length; at++) {
    const next = [at + 1]
    for (let to = 0; to < other.length; to++) {
      const replaced = (row[to] ?? 0) + (one[at] === other[to] ? 0 : 1)
      next.push(Math.min(replaced, (row[to + 1] ?? 0) + 1, (next[to] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}

function columnsOf(io: CliIo): number {
  return io.stdout.columns ?? columnsDefault
}

function showHelp(io: CliIo, placed: PlacedCommand): number {
  io.stdout.write(formatHelp(placed, columnsOf(io)))
  return 0
}

function showRootHelp({ io, commands }: Line): number {
  const root = {
    name: programName,
    short: programShort,
    commands,
    flags: [...globalFlags, versionFlag],
  }
  io.stdout.write(formatRootHelp(root, columnsOf(io)))
  return 0
}

function showHelpTopic(line: Line, words: readonly string[]): number {
  if (words.length === 0) return showRootHelp(line)
  const [first = '', second] = words
  const found = findCommand(line.commands, first)
  const path = `${programName} ${first}`
  if (found !== undefined && second === undefined) {
    return showHelp(line.io, { command: found, path })
  }
  const inner = found?.type === 'group' ? findCommand(found.commands, second ?? '') : undefined
  if (inner === undefined || words.length > 2) {
    throw exitError(`unknown help topic: ${words.join(' ')}`, 1)
  }
  return showHelp(line.io, { command: inner, path: `${path} ${second}` })
}

async function runVersionFlag({ io }: Line): Promise<number> {
  const { formatVersionLine } = await import('./version.ts')
  writeLine(io.stdout, formatVersionLine())
  return 0
}
