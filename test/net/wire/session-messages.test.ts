// What a worker says is checked before core sees it: what was said comes back, the rest is refused
// by the name of its field.

import t from 'tap'
import { decode, encode } from '../../../net/wire/codec.ts'
import {
  readAssign,
  readSessionOpen,
  readWelcome,
  type SessionOpen,
} from '../../../net/wire/session-messages.ts'
import { nodeIdOf } from '../../support/cluster-keys.ts'

const open = {
  session: 's1',
  incarnation: 'i1',
  description: {
    hostname: 'n1',
    platform: { architecture: 'x86_64', os: 'linux' },
    resources: {
      nanoCpus: 2e9,
      memoryBytes: 2 ** 32,
      generic: [
        { type: 'discrete', kind: 'gpu', value: 2 },
        { type: 'named', kind: 'port', value: 'a' },
      ],
    },
    engine: { version: '20.10', labels: { a: 'b' }, plugins: [{ type: 'Log', name: 'json-file' }] },
    runtime: 'docker',
    agentVersion: '0.1.0',
  },
  address: '10.0.0.1',
  tableIndex: 12,
  reports: [
    {
      id: nodeIdOf(3),
      status: {
        state: 'running',
        atMs: 1.5,
        message: 'started',
        error: 'none',
        container: { id: 'c', pid: 7, exitCode: -1 },
        runningSinceMs: 2,
        ports: [{ protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' }],
        addresses: ['172.17.0.2'],
      },
    },
  ],
  sentAtMs: 3,
  epoch: { counter: 2, id: 'b', parent: 'a' },
  manager: { key: new Uint8Array(32), address: '10.0.0.1:2377' },
}

t.test('what was said comes back', async (t) => {
  t.same(readSessionOpen(decode(encode(open))), open)
  const { manager: _manager, ...worker } = open
  t.same(readSessionOpen(decode(encode(worker))), worker)
})

const wrong: readonly (readonly [string, (open: Record<string, unknown>) => unknown, RegExp])[] = [
  ['no session', (said) => ({ ...said, session: undefined }), /session/],
  ['a session of 300 characters', (said) => ({ ...said, session: 'x'.repeat(300) }), /session/],
  ['no description', (said) => ({ ...said, description: 7 }), /description/],
  ['reports that are no list', (said) => ({ ...said, reports: {} }), /reports/],
  ['a report of no task', (said) => ({ ...said, reports: [{ id: '?' }] }), /id/],
  [
    'a state that is none',
    (said) => ({ ...said, reports: [{ id: nodeIdOf(1), status: { state: 'dancing' } }] }),
    /state/,
  ],
  [
    'a manager key too short',
    (said) => ({ ...said, manager: { key: new Uint8Array(3), address: 'x' } }),
    /key/,
  ],
  ['text', () => 'hello', /session.open/],
]

for (const [what, change, message] of wrong) {
  t.test(`${what} is refused`, async (t) => {
    t.throws(() => readSessionOpen(change(open)), { code: 'bad-request', message })
  })
}

t.test('what managers answer is read alike', async (t) => {
  const assignments = { isComplete: true, tasks: [], removed: [], files: [], removedFiles: [] }
  const assign = { session: 's', seq: 3, assignments }
  t.same(readAssign(assign), assign)
  t.throws(() => readAssign({ ...assign, assignments: { tasks: [] } }), { code: 'bad-request' })
  const epoch = { counter: 1, id: 'e', parent: undefined }
  const welcome = { heartbeatMs: 1000, isQuorate: true, table: new Uint8Array(4), epoch }
  t.same(readWelcome(welcome), welcome)
  t.throws(() => readWelcome({ ...welcome, heartbeatMs: -1 }), { message: /heartbeatMs/ })
})

const opened: SessionOpen = readSessionOpen(open)
t.equal(opened.reports.length, 1)
