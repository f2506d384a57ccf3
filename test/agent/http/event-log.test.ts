// Event log: what a change is called, in the words of `docker events`.

import t from 'tap'
import { eventOf, formatEvent, isWanted } from '../../../agent/http/event-log.ts'
import { asId, type NodeId, type ServiceId } from '../../../core/base/id.ts'
import type { Node } from '../../../core/object/node.ts'
import type { Service } from '../../../core/object/service.ts'
import { parseFilters } from '../../../core/store/query.ts'

const web: Service = {
  kind: 'service',
  id: asId<ServiceId>('v12u0ot7cv00tvkk7kmxnvqkm'),
  version: 1,
  createdAtMs: 1_795_357_505_027,
  updatedAtMs: 1_795_357_509_648,
  spec: {
    name: 'api',
    labels: {},
    task: { container: { image: 'web:1.0' }, networks: [], forceUpdate: 0 },
    mode: { type: 'replicated', replicas: 2 },
  },
  specVersion: 1,
  endpoint: { ports: [], virtualIps: [] },
}

const node: Node = {
  kind: 'node',
  keys: { worker: new Uint8Array(32) },
  generation: 1,
  id: asId<NodeId>('2y3lfdvqnbsalapo2wfcciahy'),
  version: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  spec: { labels: {}, role: 'worker', availability: 'active' },
  status: { state: 'ready' },
}

t.test('an event has the form of the engine, nanoseconds and all', async (t) => {
  const event = eventOf({ index: 1, before: undefined, after: web }, 0)
  t.equal(
    event && formatEvent(event),
    '{"Type":"service","Action":"create","Actor":{"ID":"v12u0ot7cv00tvkk7kmxnvqkm","Attributes":{"name":"api"}},"scope":"swarm","time":1795357505,"timeNano":1795357505027000000}',
  )
})

t.test('an update tells what has changed', async (t) => {
  const task = { ...web.spec.task, container: { image: 'web:2.0' } }
  const mode = { type: 'replicated', replicas: 5 } as const
  const rows: readonly { name: string; after: Service | Node; want: object }[] = [
    { name: 'labels', after: { ...web, version: 2 }, want: { name: 'api' } },
    {
      name: 'image and replicas',
      after: { ...web, spec: { ...web.spec, task, mode } },
      want: {
        name: 'api',
        'image.old': 'web:1.0',
        'image.new': 'web:2.0',
        'replicas.old': '2',
        'replicas.new': '5',
      },
    },
    {
      name: 'state of the update',
      after: { ...web, updateStatus: { state: 'updating', message: '' } },
      want: { name: 'api', 'updatestate.new': 'updating' },
    },
    {
      name: 'node',
      after: {
        ...node,
        spec: { ...node.spec, availability: 'drain' },
        status: { state: 'down' },
      },
      want: {
        name: '',
        'availability.old': 'active',
        'availability.new': 'drain',
        'state.old': 'ready',
        'state.new': 'down',
      },
    },
  ]
  for (const { name, after, want } of rows) {
    const before = after.kind === 'node' ? node : web
    t.same(eventOf({ index: 2, before, after }, 0)?.attributes, want, name)
  }
})

t.test('a removal is told at its own time', async (t) => {
  const event = eventOf({ index: 3, before: web, after: undefined }, 77)
  t.match(event, { action: 'remove', atMs: 77, attributes: { name: 'api' } })
})

t.test('filters let through by type, action, scope, and start of id or name', async (t) => {
  const event = eventOf({ index: 1, before: undefined, after: web }, 0)
  if (event === undefined) throw new Error('no event')
  const rows = [
    { filters: {}, want: true },
    { filters: { type: ['service'] }, want: true },
    { filters: { type: ['container'] }, want: false },
    { filters: { event: ['create'], scope: ['swarm'] }, want: true },
    { filters: { event: ['remove'] }, want: false },
    { filters: { scope: ['local'] }, want: false },
    { filters: { service: ['ap'] }, want: true },
    { filters: { service: ['v12u'] }, want: true },
    { filters: { service: ['web'] }, want: false },
    { filters: { container: ['x'] }, want: false },
    { filters: { image: ['web'] }, want: false },
    { filters: { label: ['name=api'] }, want: true },
  ]
  for (const { filters, want } of rows) {
    const text = JSON.stringify(filters)
    t.equal(isWanted(event, parseFilters(text)), want, text)
  }
})
