// The shape of the house, as rules over the sources: who may import whom, which file is the door to
// which outside thing, what the pure part may not name. test/tidy.test.ts runs them.
//
// Sizes are not among them: split where a reader looks for a second noun, not at a line count.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { readSourceText, type SourceText } from './source-text.ts'

/** Path from the root of the repository -> what the file holds. */
export type Sources = ReadonlyMap<string, string>

/**
 * Folder -> folders it may import besides itself; `x/*` means all folders of x. Folders inside a
 * listed one belong to it. A folder that is not here has no place in the house yet: give it one.
 */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  'core/base': [],
  'core/raft': ['core/base'],
  'core/object': ['core/base'],
  'core/spec': ['core/base', 'core/object'],
  'core/store': ['core/base', 'core/object'],
  'core/compose': ['core/base', 'core/object', 'core/spec'],
  'core/allocate': ['core/base', 'core/object', 'core/store'],
  'core/schedule': ['core/base', 'core/object', 'core/spec', 'core/store'],
  'core/control': [
    ...['core/base', 'core/object', 'core/spec', 'core/store'],
    ...['core/allocate', 'core/schedule'],
  ],
  'core/command': [
    ...['core/base', 'core/object', 'core/spec', 'core/store'],
    ...['core/allocate', 'core/control'],
  ],
  'core/dispatch': ['core/base', 'core/object', 'core/raft', 'core/store'],
  'core/machine': ['core/*'],
  'net/linux': ['core/base'],
  'net/wire': ['core/base', 'core/object', 'core/raft', 'core/dispatch'],
  'net/secure': ['core/base', 'core/dispatch', 'net/wire'],
  'net/cluster': [
    ...['core/base', 'core/object', 'core/raft', 'core/dispatch'],
    ...['net/linux', 'net/secure', 'net/wire'],
  ],
  'net/overlay': ['core/base', 'core/object', 'net/linux', 'net/secure'],
  'net/balance': ['core/base', 'core/object', 'net/linux'],
  'net/dns': ['core/base', 'core/object', 'net/linux'],
  'agent/base': ['core/base', 'net/linux'],
  'agent/storage': [
    ...['core/base', 'core/object', 'core/raft', 'core/store'],
    ...['net/secure', 'net/wire', 'agent/base'],
  ],
  'agent/executor': ['core/base', 'core/object', 'core/spec', 'agent/base'],
  'agent/runtime': ['core/base', 'core/object', 'net/linux', 'agent/base', 'agent/executor'],
  'agent/host': ['core/*', 'net/*', 'agent/base', 'agent/executor', 'agent/storage'],
  'agent/http': ['core/*', 'agent/base', 'agent/executor'],
  'agent/cli': ['core/*', 'agent/base'],
  agent: ['core/*', 'net/*', 'agent/*'],
}

/** Npm package or built-in module -> the files that may import it. Packages need a door. */
const moduleDoors: Readonly<Record<string, readonly string[]>> = {
  msgpackr: ['net/wire/codec.ts'],
  tweetnacl: ['net/secure/crypto.ts'],
  undici: ['agent/executor/docker-client.ts'],
  yaml: ['agent/cli/stack.ts'],
  'node:ffi': ['net/linux/ffi.ts'],
  'node:sea': ['agent/base/assets.ts', 'agent/executable.ts'],
  'node:child_process': [
    ...['agent/base/child.ts', 'agent/service-unit.ts', 'agent/runtime/container.ts'],
  ],
  'node:crypto': ['agent/base/clock.ts', 'net/secure/crypto.ts', 'agent/cli/swarm-ca.ts'],
  'node:timers': ['agent/base/clock.ts'],
  'node:timers/promises': ['agent/base/clock.ts'],
}

interface NameDoor {
  readonly pattern: RegExp
  readonly what: string
  /** Files, or folders ending in a slash, that may name it. */
  readonly doors: readonly string[]
}

const clock = 'agent/base/clock.ts'

/** Outside things that need no import. */
const nameDoors: readonly NameDoor[] = [
  { pattern: /\bDate\.now\b|\bnew Date\(\)|\bDate\(\)/, what: 'the date', doors: [clock] },
  {
    pattern: /\bperformance\.(now|timeOrigin)\b|\bprocess\.hrtime\b/,
    what: 'the clock',
    doors: [clock, 'net/linux/clock.ts'],
  },
  {
    // The deadline of a socket or a process stands beside it. What drives the machines, keeps
    // state or joins the parts is given a Clock, so that a test decides what time it is.
    pattern: /(?<![.\w])set(Timeout|Interval|Immediate)\b/,
    what: 'a timer',
    doors: [clock, 'net/', 'agent/http/', 'agent/executor/', 'agent/runtime/', 'agent/cli/'],
  },
  {
    pattern: /\bMath\.random\b|\brandom(UUID|UUIDv7|Int|Fill|FillSync)\b|\bgetRandomValues\b/,
    what: 'randomness',
    doors: [clock, 'net/secure/crypto.ts'],
  },
  { pattern: /(?<![.\w])console\.\w+/, what: 'the console', doors: [] },
]

/** What core may not name: it has no I/O, no clock, no randomness, no waiting, no locale. */
const impure = new RegExp(
  `(?<![.\\w$])(${[
    ...['async', 'await', 'Promise', 'queueMicrotask', 'setTimeout', 'setInterval', 'setImmediate'],
    ...['Date', 'performance', 'process', 'console', 'Buffer', 'crypto', 'fetch', 'globalThis'],
    ...['WeakRef', 'FinalizationRegistry', 'Intl', 'Worker', 'Atomics', 'SharedArrayBuffer'],
  ].join('|')})\\b(?!['"]?\\??:)|\\bMath\\.random\\b|\\.(toLocale\\w+|localeCompare)\\b`,
)

const banned: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /\bexport default\b/, why: 'no default export: a name is spelt one way' },
  { pattern: /\bexport \*/, why: 'no export *: a name is found by one grep' },
  { pattern: /\b(as|:) any\b|<any>/, why: 'no any' },
  { pattern: /\b(t|test)\.only\b/, why: 'a test that runs alone hides the others' },
]

/** Looked for in the comments too. */
const bannedInText: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /@ts-(ignore|nocheck)/, why: 'types are not switched off' },
  {
    pattern: /\bFIXME\b|\bXXX\b|\bTODO(?=[:(]|$)(?!\(#\d+\): \S)/,
    why: 'write TODO(#issue): what',
  },
]

/** Tests of the pure parts wait for nothing. */
const pureTests = ['test/core/', 'test/net/']
const productTops = ['core/', 'net/', 'agent/']
const tops = ['core', 'net', 'agent', 'scripts', 'test']

/** All TypeScript files of the repository. */
export function readSources(root: string): Sources {
  const sources = new Map<string, string>()
  for (const top of tops) {
    if (!existsSync(join(root, top))) continue
    for (const name of readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })) {
      const path = join(top, name)
      // Declarations of foreign modules are theirs, not ours.
      if (path.endsWith('.ts') && !path.endsWith('.d.ts'))
        sources.set(path, readFileSync(join(root, path), 'utf8'))
    }
  }
  return sources
}

/** One line for each finding, "path:line: what is wrong", in the order of the paths. */
export function tidy(sources: Sources): string[] {
  const texts = new Map([...sources].map(([path, text]) => [path, readSourceText(text)]))
  const paths = [...texts.keys()].sort()
  return [
    ...paths.flatMap((path) => checkFile(path, present(texts, path))),
    ...cycles(texts),
    ...unreached(texts),
  ]
}

function present(texts: ReadonlyMap<string, SourceText>, path: string): SourceText {
  const text = texts.get(path)
  if (text === undefined) throw new Error(`tidy: ${path} was not read`)
  return text
}

function checkFile(path: string, text: SourceText): string[] {
  const isProduct = productTops.some((top) => path.startsWith(top))
  return [
    ...checkHead(path, text),
    ...checkLines(path, text),
    ...(isProduct ? checkProductLines(path, text) : []),
    ...text.imports.flatMap(({ line, path: target }) => {
      const findings = isProduct ? checkImport(path, target) : checkEnding(target)
      return findings.map((what) => `${path}:${line}: ${what}`)
    }),
  ]
}

function checkHead(path: string, text: SourceText): string[] {
  const first = text.lines[0]?.startsWith('#!') === true ? text.lines[1] : text.lines[0]
  const findings: string[] = []
  if (!/^(\/\/|\/\*)/.test(first ?? '')) findings.push(`${path}:1: no header comment`)
  if (/(^|\/)index\.ts$/.test(path)) {
    findings.push(`${path}:1: index.ts: name the file after what it holds`)
  }
  return findings
}

function checkLines(path: string, text: SourceText): string[] {
  const findings: string[] = []
  text.code.forEach((code, index) => {
    const report = (match: RegExpExecArray | null, why: string): void => {
      if (match !== null) findings.push(`${path}:${index + 1}: ${match[0].trim()}: ${why}`)
    }
    for (const { pattern, why } of banned) report(pattern.exec(code), why)
    // These patterns themselves stand in this file.
    if (path !== 'scripts/tidy.ts' && path !== 'test/tidy.test.ts') {
      for (const { pattern, why } of bannedInText)
        report(pattern.exec(text.lines[index] ?? ''), why)
    }
    if (pureTests.some((folder) => path.startsWith(folder))) {
      report(
        /(?<![.\w])(setTimeout|setInterval|sleep)\(/.exec(code),
        'these tests wait for nothing',
      )
    }
  })
  return findings
}

function checkProductLines(path: string, text: SourceText): string[] {
  const findings: string[] = []
  text.code.forEach((code, index) => {
    const report = (what: string): void => void findings.push(`${path}:${index + 1}: ${what}`)
    const named = path.startsWith('core/') ? impure.exec(code) : null
    if (named !== null) report(`impure: ${named[0]}`)
    else {
      for (const { pattern, what, doors } of nameDoors) {
        const match = pattern.exec(code)
        if (match !== null && !isOneOf(path, doors)) {
          report(
            `${match[0]}: ${what} belongs to ${doors.join(', ') || 'nobody; write a log line'}`,
          )
        }
      }
    }
  })
  return findings
}

function checkEnding(target: string): string[] {
  return target.startsWith('.') && !/\.(ts|json)$/.test(target) ? ['import without .ts'] : []
}

function checkImport(path: string, target: string): string[] {
  if (target.startsWith('.')) {
    const from = folderOf(path)
    const to = folderOf(normalize(join(dirname(path), target)))
    const findings = checkEnding(target)
    if (mayImport[from] === undefined) findings.push(`${from} has no row in the import table`)
    else if (!isAllowed(from, to)) findings.push(`${from} may not import ${to}`)
    return findings
  }
  const doors = moduleDoors[target] ?? moduleDoors[packageOf(target)]
  if (doors?.includes(path) === true) return []
  if (doors !== undefined) return [`${target} belongs to ${doors.join(', ')}`]
  if (path.startsWith('core/')) return [`impure: import of ${target}`]
  return target.startsWith('node:')
    ? []
    : [`${target} has no door: list the file that may import it`]
}

/** core/store/x/y.ts -> core/store; agent/main.ts -> agent. */
function folderOf(path: string): string {
  return dirname(path).split('/').slice(0, 2).join('/')
}

/** @scope/name/part -> @scope/name */
function packageOf(target: string): string {
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')
}

function isAllowed(from: string, to: string): boolean {
  if (from === to) return true
  return (mayImport[from] ?? []).some(
    (rule) => rule === to || (rule.endsWith('/*') && to.startsWith(rule.slice(0, -1))),
  )
}

function isOneOf(path: string, doors: readonly string[]): boolean {
  return doors.some((door) => door === path || (door.endsWith('/') && path.startsWith(door)))
}

/** Relative imports of a file as paths from the root. */
function targetsOf(
  texts: ReadonlyMap<string, SourceText>,
  path: string,
  options: { readonly withTypes: boolean },
): string[] {
  const text = texts.get(path)
  return (text?.imports ?? [])
    .filter((entry) => entry.path.startsWith('.') && (options.withTypes || !entry.isType))
    .map((entry) => normalize(join(dirname(path), entry.path)))
}

/** Files that load each other in a ring. Types are gone by then, so they may. */
function cycles(texts: ReadonlyMap<string, SourceText>): string[] {
  const done = new Set<string>()
  const found: string[] = []
  function visit(path: string, trail: readonly string[]): void {
    // The simulator's world, hosts and clients call each other, as real ones do over a network.
    if (path.startsWith('test/sim/')) return
    if (trail.includes(path)) {
      found.push(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`)
      return
    }
    if (done.has(path)) return
    for (const next of targetsOf(texts, path, { withTypes: false })) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of texts.keys()) visit(path, [])
  return found
}

/** Files of the product that neither it nor a test or script ever loads: nobody would miss them. */
function unreached(texts: ReadonlyMap<string, SourceText>): string[] {
  const isEntry = (path: string): boolean =>
    path === 'agent/main.ts' ||
    path === 'agent/executable.ts' ||
    path.endsWith('.worker.ts') ||
    path.endsWith('.test.ts') ||
    path.endsWith('.bench.ts') ||
    path.endsWith('.soak.ts') ||
    path.endsWith('.program.ts') ||
    path.startsWith('scripts/')
  const reached = new Set<string>()
  const waiting = [...texts.keys()].filter(isEntry)
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    waiting.push(...targetsOf(texts, path, { withTypes: true }))
  }
  return [...texts.keys()]
    .filter((path) => !reached.has(path))
    .map((path) => `${path}: never imported`)
}
