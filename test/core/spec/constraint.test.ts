// Constraints: what parses, in Swarm's words what does not, and which nodes match.

import fc from 'fast-check'
import t from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import type { NodeId } from '../../../core/base/id.ts'
import type { Node } from '../../../core/object/node.ts'
import { findHopeless, matchesNode, parseConstraints } from '../../../core/spec/constraint.ts'

const bare: Node = {
  kind: 'node',
  keys: { worker: new Uint8Array(32) },
  generation: 1,
  id: '2y3lfdvqnbsalapo2wfcciahy' as NodeId,
  version: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  spec: { labels: {}, role: 'worker', availability: 'active' },
  status: { state: 'ready' },
}

const node: Node = {
  ...bare,
  spec: { labels: { zone: 'East', 'a.b': 'c' }, role: 'manager', availability: 'active' },
  status: { state: 'ready', address: '10.1.2.3' },
  description: {
    hostname: 'Alpha',
    platform: { architecture: 'x86_64', os: 'linux' },
    resources: { nanoCpus: 1, memoryBytes: 1, generic: [] },
    engine: { version: '1', labels: { disk: 'ssd' }, plugins: [] },
    runtime: 'docker',
    agentVersion: '1',
  },
}

function matches(text: string, on: Node = node): boolean {
  return matchesNode(parseConstraints([text]), on)
}

t.test('which nodes match', async (t) => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['node.id==2Y3LFDVQNBSALAPO2WFCCIAHY', true],
    ['node.id!=2y3lfdvqnbsalapo2wfcciahy', false],
    ['NODE.Hostname == alpha', true],
    ['node.hostname!=beta', true],
    ['node.role==manager', true],
    ['node.role!=Manager', false],
    ['node.platform.os==Linux', true],
    ['node.platform.arch==aarch64', false],
    ['node.labels.zone==east', true],
    ['Node.Labels.zone==EAST', true],
    ['node.labels.Zone==east', false],
    ['node.labels.a.b==c', true],
    ['node.labels.absent!=x', true],
    ['node.labels.absent==x', false],
    ['node.labels.constructor!=x', true],
    ['node.labels.toString==x', false],
    ['engine.labels.disk==ssd', true],
    ['engine.labels.disk!=ssd', false],
    ['node.ip==10.1.2.3', true],
    ['node.ip!=10.1.2.3', false],
    ['node.ip==10.1.0.0/16', true],
    ['node.ip!=10.1.0.0/16', false],
    ['node.ip!=10.2.0.0/16', true],
    ['node.ip==2001:db8::2', false],
    ['node.ip!=nonsense', false],
    ['node.zone==east', false],
    ['node.zone!=east', false],
    ['node.labels.!=x', false],
  ]
  for (const [text, want] of cases) t.equal(matches(text), want, text)
})

t.test('a node that has not described itself has empty values', async (t) => {
  t.notOk(matches('node.hostname==alpha', bare))
  t.ok(matches('node.hostname!=alpha', bare))
  t.ok(matches('engine.labels.disk!=ssd', bare))
  t.notOk(matches('node.ip==10.1.2.3', bare))
  t.ok(matches('node.ip!=10.1.2.3', bare))
})

t.test('all must hold', async (t) => {
  t.ok(matchesNode(parseConstraints([]), bare))
  t.ok(matchesNode(parseConstraints(['node.role==manager', 'node.labels.zone==east']), node))
  t.notOk(matchesNode(parseConstraints(['node.role==manager', 'node.labels.zone==west']), node))
})

t.test('what does not parse, in the words of Swarm', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['zone', 'constraint expected one operator from ==, !='],
    ['zone=east', 'constraint expected one operator from ==, !='],
    ['1a==x', "key '1a' is invalid"],
    ['a==x', "key 'a' is invalid"],
    ['==x', "key '' is invalid"],
    ['node.id==', "value '' is invalid"],
    ['node.id==a>b', "value 'a>b' is invalid"],
    ['node.id!=a==b', "key 'node.id!=a' is invalid"],
  ]
  for (const [text, message] of cases) {
    t.throws(() => parseConstraints([text]), { code: 'invalid-argument', message }, text)
  }
})

t.test('constraints that no node can ever meet are known as such', async (t) => {
  const why = (text: string) => parseConstraints([text]).map(findHopeless)[0]
  for (const text of ['node.id==x', 'Node.IP==10.0.0.0/8', 'node.ip!=::1', 'ENGINE.labels.x!=y']) {
    t.equal(why(text), undefined, text)
  }
  t.equal(
    why('node.label.zone==east'),
    "no node has 'node.label.zone'; nodes have engine.labels.NAME, node.hostname, node.id, node.ip, node.labels.NAME, node.platform.arch, node.platform.os, node.role",
  )
  t.equal(why('node.ip!=here'), "'here' is neither an address nor a subnet")
  t.match(why('node.labels.==x'), /no node has/)
  t.equal(parseConstraints([' node.id  != x '])[0]?.key, 'node.id')
})

t.test('any text parses or is refused', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom('', '==', '!='), fc.string(), (a, operator, b) => {
      try {
        matches(`${a}${operator}${b}`)
      } catch (error) {
        return error instanceof CodedError
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.pass()
})
