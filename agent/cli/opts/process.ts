// Flags about the process of a task: --ulimit, --cap-add, --entrypoint, --placement-pref and
// --generic-resource.

import { CodedError } from '../../../core/base/error.ts'
import type { GenericResourceJson, PlacementPreferenceJson, UlimitJson } from '../api-json.ts'
import { cut } from './list.ts'
import { parseInt64 } from './number.ts'

const ulimitNames = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]

/** Reads `name=soft[:hard]`; -1 is unlimited. */
export function parseUlimit(text: string): UlimitJson {
  const { before: name, after, isCut } = cut(text, '=')
  if (!isCut) throw invalid(`invalid ulimit argument: ${text}`)
  if (!ulimitNames.includes(name)) throw invalid(`invalid ulimit type: ${name}`)
  const limits = after.split(':')
  if (limits.length > 2) {
    throw invalid(
      `too many limit value arguments - ${after}, can only have up to two, \`soft[:hard]\``,
    )
  }
  const [hard, soft] = [limits[1] ?? limits[0], limits[0]].map((limit) =>
    parseInt64(limit ?? '', { base: 10, bits: 64 }),
  ) as [number, number]
  const order = 'ulimit soft limit must be less than or equal to hard limit'
  if (hard !== -1 && soft === -1) throw invalid(`${order}: soft: -1 (unlimited), hard: ${hard}`)
  if (hard !== -1 && soft > hard) throw invalid(`${order}: ${soft} > ${hard}`)
  return { Name: name, Hard: hard, Soft: soft }
}

/** A capability in its full name: `net_admin` -> `CAP_NET_ADMIN`; ALL and RESET stay. */
export function normalCapability(text: string): string {
  const upper = text.trim().toUpperCase()
  if (upper === 'ALL' || upper === 'RESET' || upper.startsWith('CAP_')) return upper
  return `CAP_${upper}`
}

/** Reads `spread=node.labels.zone`. */
export function parsePlacementPreference(text: string): PlacementPreferenceJson {
  const { before, after, isCut } = cut(text, '=')
  if (!isCut || before === '') {
    throw invalid('placement preference must be of the format "<strategy>=<arg>"')
  }
  if (before !== 'spread') {
    throw invalid(`unsupported placement preference ${before} (only spread is supported)`)
  }
  return { Spread: { SpreadDescriptor: after } }
}

/** Reads all --generic-resource values of a service; only counted ones (`gpu=2`) are allowed. */
export function parseGenericResources(texts: readonly string[]): readonly GenericResourceJson[] {
  const counts = new Map<string, string[]>()
  for (const text of texts) {
    const { before: kind, after: value } = cut(text, '=')
    counts.set(kind, [...(counts.get(kind) ?? []), value])
  }
  return [...counts].map(([kind, values]) => {
    const only = values.length === 1 ? (values[0] ?? '') : ''
    if (/^[-+]?\d+$/.test(only)) {
      return {
        DiscreteResourceSpec: { Kind: kind, Value: parseInt64(only, { base: 10, bits: 64 }) },
      }
    }
    throw invalid(
      `invalid generic-resource request \`${kind}=${values[0]}\`, Named Generic Resources is not supported for service create or update`,
    )
  })
}

/** Splits a line into words as a shell would: quotes, backslashes and comments. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = []
  const word =
    /\s*(?:#[^\n]*|((?:[^\s"'\\#]|\\[\s\S]|"(?:[^"\\]|\\[\s\S])*"|'[^']*')(?:[^\s"'\\]|\\[\s\S]|"(?:[^"\\]|\\[\s\S])*"|'[^']*')*))/y
  while (text.slice(word.lastIndex).trim() !== '') {
    const at = word.lastIndex
    const match = word.exec(text)
    if (match === null) throw invalid(unended(text.slice(at)))
    if (match[1] !== undefined) words.push(unquote(match[1]))
  }
  return words
}

function unquote(word: string): string {
  return word.replace(
    /\\([\s\S])|"((?:[^"\\]|\\[\s\S])*)"|'([^']*)'/g,
    (_, escaped?: string, double?: string, single?: string) =>
      escaped ?? double?.replace(/\\([\s\S])/g, '$1') ?? single ?? '',
  )
}

function unended(rest: string): string {
  if (/\\$/.test(rest)) return 'EOF found after escape character'
  return 'EOF found when expecting closing quote'
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
