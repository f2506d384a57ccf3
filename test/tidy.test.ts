// The house is tidy: imports run one way, each outside thing has one door, core is pure. And the
// rules themselves are checked: each of them finds a violation that was planted for it.

import { join } from 'node:path'
import t from 'tap'
import { readSources, tidy } from '../scripts/tidy.ts'

const root = join(import.meta.dirname, '..')

t.test('the sources break no rule', async (t) => {
  const sources = readSources(root)
  // Before the daemon joins the parts, nothing reaches them.
  const isJoined = sources.has('agent/daemon.ts')
  const findings = tidy(sources).filter((line) => isJoined || !line.endsWith(': never imported'))
  t.same(findings, [])
})

/** A repository of a few files, all reached from the entry. */
function house(files: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const imports = Object.keys(files).map((path) => `import '../${path}'\n`)
  const entry = ['scripts/entry.ts', `// Reaches all of them.\n${imports.join('')}`] as const
  return new Map([entry, ...Object.entries(files)])
}

const planted = [
  {
    name: 'core that imports net',
    files: {
      'core/raft/log.ts': "// Log.\nimport { x } from '../../net/wire/codec.ts'\n",
      'net/wire/codec.ts': '// Codec.\n',
    },
    want: 'core/raft/log.ts:2: core/raft may not import net/wire',
  },
  {
    name: 'an import over several lines, of types only',
    files: {
      'agent/cli/x.ts': "// X.\nimport type {\n  A,\n  B,\n} from '../http/server.ts'\n",
      'agent/http/server.ts': '// Server.\n',
    },
    want: 'agent/cli/x.ts:2: agent/cli may not import agent/http',
  },
  {
    name: 'a lazy import against the table',
    files: {
      'net/dns/x.ts': "// X.\nexport const f = () => import('../overlay/tap.ts')\n",
      'net/overlay/tap.ts': '// Tap.\n',
    },
    want: 'net/dns/x.ts:2: net/dns may not import net/overlay',
  },
  {
    name: 'a folder without a place',
    files: { 'net/misc/x.ts': "// X.\nimport './y.ts'\n", 'net/misc/y.ts': '// Y.\n' },
    want: 'net/misc/x.ts:2: net/misc has no row in the import table',
  },
  {
    name: 'a package behind its door',
    files: { 'net/wire/mux.ts': "// Mux.\nimport { pack } from 'msgpackr'\n" },
    want: 'net/wire/mux.ts:2: msgpackr belongs to net/wire/codec.ts',
  },
  {
    name: 'a package without a door',
    files: { 'agent/base/x.ts': "// X.\nimport pad from 'left-pad'\n" },
    want: 'agent/base/x.ts:2: left-pad has no door: list the file that may import it',
  },
  {
    name: 'ffi outside its door, loaded lazily',
    files: { 'net/linux/tap.ts': "// Tap.\nconst ffi = await import('node:ffi')\n" },
    want: 'net/linux/tap.ts:2: node:ffi belongs to net/linux/ffi.ts',
  },
  {
    name: 'ffi outside its door, asked of the process',
    files: { 'net/linux/tap.ts': "// Tap.\nconst ffi = process.getBuiltinModule('node:ffi')\n" },
    want: 'net/linux/tap.ts:2: node:ffi belongs to net/linux/ffi.ts',
  },
  {
    name: 'the clock outside its door',
    files: { 'net/cluster/peers.ts': '// Peers.\nconst at = Date.now()\n' },
    want: 'net/cluster/peers.ts:2: Date.now: the date belongs to agent/base/clock.ts',
  },
  {
    name: 'a timer outside its door',
    files: { 'agent/host/x.ts': '// X.\nsetTimeout(f, 5)\n' },
    want:
      'agent/host/x.ts:2: setTimeout: a timer belongs to agent/base/clock.ts, net/, ' +
      'agent/http/, agent/executor/, agent/runtime/, agent/cli/',
  },
  {
    name: 'randomness outside its doors',
    files: { 'net/cluster/x.ts': "// X.\nimport { randomBytes } from 'node:crypto'\n" },
    want:
      'net/cluster/x.ts:2: node:crypto belongs to ' +
      'agent/base/clock.ts, net/secure/crypto.ts, agent/cli/swarm-ca.ts',
  },
  {
    name: 'the console',
    files: { 'agent/host/x.ts': "// X.\nconsole.log('here')\n" },
    want: 'agent/host/x.ts:2: console.log: the console belongs to nobody; write a log line',
  },
  {
    name: 'a promise in core',
    files: { 'core/store/x.ts': '// X.\nexport async function f() {}\n' },
    want: 'core/store/x.ts:2: impure: async',
  },
  {
    name: 'a date in core, inside a template',
    files: { 'core/store/x.ts': `// X.\nconst a = \`at \${new Date(5)} it is\`\n` },
    want: 'core/store/x.ts:2: impure: Date',
  },
  {
    name: 'a locale in core',
    files: { 'core/store/x.ts': '// X.\nnames.sort((a, b) => a.localeCompare(b))\n' },
    want: 'core/store/x.ts:2: impure: .localeCompare',
  },
  {
    name: 'node in core',
    files: { 'core/base/x.ts': "// X.\nimport { join } from 'node:path'\n" },
    want: 'core/base/x.ts:2: impure: import of node:path',
  },
  {
    name: 'no header comment',
    files: { 'core/base/x.ts': 'export const x = 1\n' },
    want: 'core/base/x.ts:1: no header comment',
  },
  {
    name: 'an index file',
    files: { 'core/base/index.ts': '// All.\n' },
    want: 'core/base/index.ts:1: index.ts: name the file after what it holds',
  },
  {
    name: 'a default export',
    files: { 'core/base/x.ts': '// X.\nexport default 1\n' },
    want: 'core/base/x.ts:2: export default: no default export: a name is spelt one way',
  },
  {
    name: 'an import without its ending',
    files: { 'core/base/x.ts': "// X.\nimport './y'\n" },
    want: 'core/base/x.ts:2: import without .ts',
  },
  {
    name: 'an open end without an issue',
    files: { 'core/base/x.ts': '// X.\n// TODO: later\n' },
    want: 'core/base/x.ts:2: TODO: write TODO(#issue): what',
  },
  {
    name: 'a test that runs alone',
    files: { 'test/core/x.test.ts': "// X.\nt.only('x', f)\n" },
    want: 'test/core/x.test.ts:2: t.only: a test that runs alone hides the others',
  },
  {
    name: 'a pure test that waits',
    files: { 'test/core/x.test.ts': '// X.\nawait sleep(10)\n' },
    want: 'test/core/x.test.ts:2: sleep(: these tests wait for nothing',
  },
  {
    name: 'a ring of imports',
    files: {
      'core/base/a.ts': "// A.\nimport { b } from './b.ts'\n",
      'core/base/b.ts': "// B.\nimport { a } from './a.ts'\n",
    },
    want: 'cycle: core/base/a.ts -> core/base/b.ts -> core/base/a.ts',
  },
]

for (const { name, files, want } of planted) {
  t.test(`found: ${name}`, async (t) => t.same(tidy(house(files)), [want]))
}

t.test('found: files that only import each other', async (t) => {
  const files = new Map([
    ['agent/main.ts', '// Main.\n'],
    ['agent/base/a.ts', "// A.\nimport './b.ts'\n"],
    ['agent/base/b.ts', '// B.\n'],
  ])
  t.same(tidy(files), ['agent/base/a.ts: never imported', 'agent/base/b.ts: never imported'])
})

t.test('words in comments, texts and patterns break no rule', async (t) => {
  const text = [
    '// Date.now() and async are only spoken of here, and so is import "msgpackr".',
    'const text = \'await setTimeout // no comment\' + "console.log(process)"',
    'const pattern = /await Date.now\\(\\) ["\']/.test(text) || 4 / 2 / 1',
    `const template = \`Promise \${text.replace('}', \`process \${text}\`)} Buffer\``,
    'interface Row { readonly process: number; date?: string }',
    "import type { Row as B } from './b.ts'",
    '/* a block: Math.random()',
    '   still inside: crypto */',
    'export const named = row.process + row.crypto',
  ].join('\n')
  t.same(tidy(house({ 'core/base/a.ts': text, 'core/base/b.ts': '// B.\n' })), [])
})

t.test('types may refer to each other in a ring', async (t) => {
  const files = {
    'core/base/a.ts': "// A.\nimport type { B } from './b.ts'\n",
    'core/base/b.ts': "// B.\nimport { a } from './a.ts'\n",
  }
  t.same(tidy(house(files)), [])
})
