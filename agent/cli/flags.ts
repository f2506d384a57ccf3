// Flags as docker's command line has them: `--name=value`, `--name value`, `-abc`, `-p8080:80`,
// repeated flags, `--` to end them. A table says what a value of each kind must look like; a value is
// checked when it is met, and kept as the text it was, so that a command reads it in its own way.

import { CodedError } from '../../core/base/error.ts'
import { parseDuration } from '../../core/base/time.ts'
import { parseCsv } from './csv.ts'
import * as list from './opts/list.ts'
import { parseMount } from './opts/mount.ts'
import { parseBool, parseFloat32, parseInt64, parseUint } from './opts/number.ts'
import { parsePorts } from './opts/port.ts'
import { parsePlacementPreference, parseUlimit, splitWords } from './opts/process.ts'
import { parseCredentialSpec, parseFileReference, parseNetwork } from './opts/reference.ts'
import { checkAddressRange, checkExternalCa, checkNodeAddress } from './opts/swarm.ts'
import { parseMemoryBytes, parseNanoCpus } from './units.ts'

interface KindRow {
  /** The word that help shows for the value. */
  readonly shown: string
  /** Throws unless the text is of this kind. */
  readonly check?: (text: string) => unknown
}

const wide = { base: 0, bits: 64 } as const
const listOf = (check?: (text: string) => unknown): KindRow =>
  check === undefined ? { shown: 'list' } : { shown: 'list', check }

/** Kind of flag -> how help shows it and how a value is checked. */
const kinds = {
  bool: { shown: '', check: parseBool },
  string: { shown: 'string' },
  int: { shown: 'int', check: (text) => parseInt64(text, wide) },
  uint: { shown: 'uint', check: (text) => parseUint(text, wide) },
  uint32: { shown: 'uint32', check: (text) => parseUint(text, { base: 0, bits: 32 }) },
  float: { shown: 'float', check: parseFloat32 },
  duration: { shown: 'duration', check: parseDuration },
  positiveDuration: { shown: 'duration', check: checkPositiveDuration },
  decimal: { shown: 'decimal', check: parseNanoCpus },
  bytes: { shown: 'bytes', check: parseMemoryBytes },
  filter: { shown: 'filter', check: list.parseFilter },
  list: listOf(),
  labelList: listOf(list.checkLabel),
  envList: listOf((text) => list.checkEnv(text, {})),
  ipList: listOf(list.checkIp),
  searchList: listOf(list.checkDnsSearch),
  hostList: listOf(list.checkExtraHost),
  genericList: listOf(list.checkGenericResource),
  map: { shown: 'map' },
  strings: { shown: 'strings', check: parseCsv },
  ipNetSlice: { shown: 'ipNetSlice', check: checkAddressRange },
  ipSlice: { shown: 'strings', check: checkIpSlice },
  command: { shown: 'command', check: splitWords },
  credentialSpec: { shown: 'credential-spec', check: parseCredentialSpec },
  mount: { shown: 'mount', check: (text) => parseMount(text, '/') },
  network: { shown: 'network', check: parseNetwork },
  port: { shown: 'port', check: parsePorts },
  pref: { shown: 'pref', check: parsePlacementPreference },
  secret: { shown: 'secret', check: (text) => parseFileReference(text, 'secret') },
  config: { shown: 'config', check: (text) => parseFileReference(text, 'config') },
  ulimit: { shown: 'ulimit', check: parseUlimit },
  nodeAddress: { shown: 'node-addr', check: checkNodeAddress },
  externalCa: { shown: 'external-ca', check: checkExternalCa },
  pemFile: { shown: 'pem-file' },
} as const satisfies Record<string, KindRow>

export type FlagKind = keyof typeof kinds

/** One flag of a command. */
export interface Flag {
  readonly name: string
  readonly short?: string
  readonly kind: FlagKind
  readonly help: string
  /** What the flag is when it is not given, as its text. */
  readonly default?: string
  /** The API version that knows it. */
  readonly since?: string
}

/** The word that help shows for a flag's value; empty for a switch. */
export function shownKind(kind: FlagKind): string {
  return kinds[kind].shown
}

/** Flags as they were given. Asking for a flag that the command lacks is a bug. */
export interface FlagValues {
  readonly isSet: (...names: readonly string[]) => boolean
  /** The last value, else the default, else ''. */
  readonly text: (name: string) => string
  /** Every value, in order; empty when not given. */
  readonly all: (name: string) => readonly string[]
  readonly isOn: (name: string) => boolean
  /** The flags that were given. */
  readonly given: () => readonly Flag[]
}

/** What a command line holds. */
export interface ParsedLine {
  readonly values: ReadonlyMap<string, readonly string[]>
  readonly rest: readonly string[]
  readonly isHelp: boolean
}

/**
 * Reads flags. With `isInterspersed` flags may follow arguments; else the first argument ends them.
 * Throws invalid-argument with pflag's words.
 */
export function parseFlags(
  line: readonly string[],
  options: { readonly flags: readonly Flag[]; readonly isInterspersed: boolean },
): ParsedLine {
  const reader = new LineReader(line, options.flags)
  const rest: string[] = []
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    if (word === '--') return { ...reader.result(), rest: [...rest, ...reader.rest()] }
    if (word.startsWith('--')) reader.readLong(word)
    else if (word.startsWith('-') && word !== '-') reader.readShort(word)
    else if (options.isInterspersed) rest.push(word)
    else return { ...reader.result(), rest: [word, ...reader.rest()] }
  }
  return { ...reader.result(), rest }
}

/** The values of a parsed line, with the defaults of the table behind them. */
export function flagValues(
  flags: readonly Flag[],
  given: ReadonlyMap<string, readonly string[]>,
): FlagValues {
  const byName = new Map(flags.map((flag) => [flag.name, flag]))
  const all = (name: string): readonly string[] => given.get(name) ?? []
  const text = (name: string): string => all(name).at(-1) ?? byName.get(name)?.default ?? ''
  return {
    all,
    text,
    isSet: (...names) => names.some((name) => given.has(name)),
    isOn: (name) => given.has(name) && parseBool(text(name)),
    given: () => flags.filter((flag) => given.has(flag.name)),
  }
}

class LineReader {
  readonly #words: readonly string[]
  readonly #flags: readonly Flag[]
  readonly #values = new Map<string, string[]>()
  #at = 0
  #isHelp = false

  constructor(words: readonly string[], flags: readonly Flag[]) {
    this.#words = words
    this.#flags = flags
  }

  next(): string | undefined {
    return this.#words[this.#at++]
  }

  rest(): readonly string[] {
    return this.#words.slice(this.#at)
  }

  result(): { values: ReadonlyMap<string, readonly string[]>; isHelp: boolean } {
    return { values: this.#values, isHelp: this.#isHelp }
  }

  readLong(word: string): void {
    const { before: name, after, isCut } = list.cut(word.slice(2), '=')
    if (/^(-|=|$)/.test(word.slice(2))) throw invalid(`bad flag syntax: ${word}`)
    const flag = this.#flags.find((one) => one.name === name)
    if (flag === undefined) {
      if (name !== 'help') throw invalid(`unknown flag: --${name}`)
      this.#isHelp = !isCut || parseBool(after)
    } else if (isCut) this.#add(flag, after)
    else if (flag.kind === 'bool') this.#add(flag, 'true')
    else this.#add(flag, this.#valueAfter(`--${name}`))
  }

  readShort(word: string): void {
    for (let letters = word.slice(1); letters !== ''; letters = letters.slice(1)) {
      const letter = letters.charAt(0)
      const flag = this.#flags.find((one) => one.short === letter)
      if (flag === undefined && letter === 'h') {
        this.#isHelp = true
        continue
      }
      if (flag === undefined) {
        throw invalid(`unknown shorthand flag: '${letter}' in -${letters}`)
      }
      if (letters.length > 2 && letters[1] === '=') {
        this.#add(flag, letters.slice(2))
        return
      }
      if (flag.kind !== 'bool') {
        const isOwn = letters.length > 1
        this.#add(flag, isOwn ? letters.slice(1) : this.#valueAfter(`'${letter}' in -${letters}`))
        return
      }
      this.#add(flag, 'true')
    }
  }

  #valueAfter(what: string): string {
    const value = this.next()
    if (value === undefined) throw invalid(`flag needs an argument: ${what}`)
    return value
  }

  #add(flag: Flag, value: string): void {
    const row: KindRow = kinds[flag.kind]
    try {
      row.check?.(value)
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      const shown = flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`
      throw invalid(
        `invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${error.message}`,
      )
    }
    this.#values.set(flag.name, [...(this.#values.get(flag.name) ?? []), value])
  }
}

function checkPositiveDuration(text: string): void {
  if (parseDuration(text) < 0) throw invalid('duration cannot be negative')
}

function checkIpSlice(text: string): void {
  for (const ip of parseCsv(text)) {
    try {
      list.checkIp(ip)
    } catch {
      throw invalid(`invalid string being converted to IP address: ${ip}`)
    }
  }
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
