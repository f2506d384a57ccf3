// Help texts in the form of docker's: usage, options in two columns wrapped to the terminal, groups of
// commands. Printed by --help, and in part by usage errors.

import type { AnyCommand, CommandGroup, PlacedCommand } from './command.ts'
import { usageLine } from './command.ts'
import { type Flag, shownKind } from './flags.ts'
import { compareText } from './natural.ts'

/** Columns of help when there is no terminal to ask. */
export const columnsDefault = 80

/** The help of a command or of a group, with the newline that ends it. */
export function formatHelp(placed: PlacedCommand, columns: number): string {
  const { command } = placed
  const parts = [
    command.type === 'group' ? `Usage:  ${placed.path} COMMAND` : `Usage:  ${usageLine(placed)}`,
    command.short,
  ]
  if (command.type === 'group') {
    parts.push(`Commands:\n${formatCommands(command.commands)}`)
    parts.push(`Run '${placed.path} COMMAND --help' for more information on a command.`)
  } else {
    const aliases = command.aliasPaths ?? aliasesOf(placed.path, command.aliases)
    if (aliases.length > 0) parts.push(`Aliases:\n  ${aliases.join(', ')}`)
    if (command.flags.length > 0) {
      parts.push(`Options:\n${formatFlags(command.flags, columns - 1)}`)
    }
  }
  return `${parts.join('\n\n')}\n`
}

/** The help of the whole program. */
export function formatRootHelp(
  root: {
    readonly name: string
    readonly short: string
    readonly commands: readonly AnyCommand[]
    readonly flags: readonly Flag[]
  },
  columns: number,
): string {
  const shown = root.commands.filter((one) => one.type === 'group' || one.isHidden !== true)
  const groups = shown.filter((one): one is CommandGroup => one.type === 'group')
  const parts = [
    `Usage:  ${root.name} [OPTIONS] COMMAND`,
    root.short,
    `Management Commands:\n${formatCommands(groups)}`,
    `Commands:\n${formatCommands(shown.filter((one) => one.type === 'command'))}`,
    `Global Options:\n${formatFlags(root.flags, columns - 1)}`,
    `Run '${root.name} COMMAND --help' for more information on a command.`,
  ]
  return `${parts.join('\n\n')}\n`
}

function aliasesOf(path: string, aliases: readonly string[] = []): readonly string[] {
  const parent = path.slice(0, path.lastIndexOf(' '))
  return aliases.length === 0 ? [] : [path, ...aliases.map((alias) => `${parent} ${alias}`)]
}

/** Name of a command and what it does, one a line, by name. */
function formatCommands(commands: readonly AnyCommand[]): string {
  const width = 11
  return commands
    .filter((command) => command.type === 'group' || command.isHidden !== true)
    .toSorted((one, other) => compareText(one.name, other.name))
    .map((command) => `  ${command.name.padEnd(width)} ${command.short}`)
    .join('\n')
}

/** The options of a command, by name, wrapped at `columns`. */
export function formatFlags(flags: readonly Flag[], columns: number): string {
  const rows = flags
    .toSorted((one, other) => compareText(one.name, other.name))
    .map((flag) => ({ head: flagHead(flag), text: flag.help + flagDefault(flag) }))
  // Two spaces part the columns, and one more is docker's.
  const indent = Math.max(...rows.map((row) => row.head.length)) + 3
  return rows
    .map((row) => row.head.padEnd(indent) + wrapText(row.text, { indent, columns }))
    .join('\n')
}

function flagHead(flag: Flag): string {
  const names =
    flag.short === undefined ? `      --${flag.name}` : `  -${flag.short}, --${flag.name}`
  const kind = shownKind(flag.kind)
  return kind === '' ? names : `${names} ${kind}`
}

function flagDefault(flag: Flag): string {
  if (flag.default === undefined) return ''
  const shown = flag.kind === 'string' ? JSON.stringify(flag.default) : flag.default
  return ` (default ${shown})`
}

/** The last line may be this much longer, so that no short word stands alone. */
const slop = 5
/** Less room than this is not worth wrapping in. */
const roomMin = 24

function wrapText(text: string, page: { indent: number; columns: number }): string {
  let { indent } = page
  let first = ''
  if (page.columns - indent < roomMin) {
    indent = 16
    first = `\n${' '.repeat(indent)}`
  }
  const room = page.columns - indent - slop
  const margin = `\n${' '.repeat(indent)}`
  if (room + slop < roomMin) return text.replaceAll('\n', first)
  const lines: string[] = []
  for (let rest = text; rest !== '' || lines.length === 0; ) {
    const [line, after] = splitLine(rest, room)
    lines.push(line.replaceAll('\n', margin))
    rest = after
  }
  return first + lines.join(margin)
}

function splitLine(text: string, room: number): readonly [string, string] {
  if (room + slop > text.length) return [text, '']
  const head = text.slice(0, room)
  const blank = Math.max(...[' ', '\t', '\n'].map((space) => head.lastIndexOf(space)))
  if (blank <= 0) return [text, '']
  const newline = head.lastIndexOf('\n')
  const at = newline > 0 && newline < blank ? newline : blank
  return [text.slice(0, at), text.slice(at + 1)]
}
