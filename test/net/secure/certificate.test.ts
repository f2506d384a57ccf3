// Certificates: what was signed comes back, and nothing else is taken for one.

import t from 'tap'
import type { ClusterId } from '../../../core/base/id.ts'
import {
  type Certificate,
  certificateBytesMax,
  decodeCertificate,
  encodeCertificate,
  followSuccessions,
  signSuccession,
} from '../../../net/secure/certificate.ts'
import { makeExchangeKeys, makeSigningKeys, sign } from '../../../net/secure/crypto.ts'
import { encode } from '../../../net/wire/codec.ts'
import { nodeIdOf } from '../../support/cluster-keys.ts'

const cluster = makeSigningKeys()
const certificate: Certificate = {
  clusterId: 'c'.repeat(25) as ClusterId,
  nodeId: nodeIdOf(5),
  role: 'worker',
  key: makeExchangeKeys().publicKey,
  generation: 3,
  tableIndex: 4_000_000_000,
  issuedAtMs: 1_700_000_000_000,
}
const encoded = encodeCertificate(certificate, cluster.privateKey)

t.test('what was signed comes back', async (t) => {
  t.same(decodeCertificate(encoded, [cluster.publicKey]), certificate)
  t.same(decodeCertificate(encoded, [makeSigningKeys().publicKey, cluster.publicKey]), certificate)
  t.ok(encoded.length < certificateBytesMax / 2, `${encoded.length} bytes`)
})

t.test('the signature of another cluster is refused', async (t) => {
  t.throws(() => decodeCertificate(encoded, [makeSigningKeys().publicKey]), {
    code: 'permission-denied',
  })
  t.throws(() => decodeCertificate(encoded, []), { code: 'permission-denied' })
})

t.test('a changed byte, a cut and an addition are refused', async (t) => {
  for (let at = 0; at < encoded.length; at++) {
    const changed = encoded.with(at, (encoded[at] ?? 0) ^ 1)
    t.throws(() => decodeCertificate(changed, [cluster.publicKey]), `byte ${at}`)
  }
  t.throws(() => decodeCertificate(encoded.slice(0, -1), [cluster.publicKey]))
  t.throws(() => decodeCertificate(new Uint8Array([...encoded, 0]), [cluster.publicKey]))
  t.throws(() => decodeCertificate(new Uint8Array(2_000), [cluster.publicKey]), {
    code: 'bad-request',
  })
})

t.test('what the cluster key signs elsewhere is no certificate', async (t) => {
  const body = encode({ version: 1, ...certificate })
  const bare = encode([body, sign(cluster.privateKey, body)])
  t.throws(() => decodeCertificate(bare, [cluster.publicKey]), { code: 'permission-denied' })
})

const wrongBodies = [
  { name: 'another version', body: { version: 2 }, message: /version/ },
  { name: 'a role that is none', body: { role: 'king' }, message: /role/ },
  { name: 'a short key', body: { key: new Uint8Array(31) }, message: /key has 31 bytes/ },
  { name: 'an id that is none', body: { nodeId: '../../etc' }, message: /nodeId is no id/ },
  { name: 'a generation below zero', body: { generation: -1 }, message: /generation/ },
]
for (const { name, body, message } of wrongBodies) {
  t.test(`${name} is refused, though signed`, async (t) => {
    const wrong = encodeCertificate({ ...certificate, ...body } as Certificate, cluster.privateKey)
    t.throws(() => decodeCertificate(wrong, [cluster.publicKey]), { code: 'bad-request', message })
  })
}

t.test('a chain of cluster keys leads from any key in it to the newest', async (t) => {
  const keys = [cluster, makeSigningKeys(), makeSigningKeys()] as const
  const chain = [
    signSuccession(keys[0].privateKey, keys[1].publicKey),
    signSuccession(keys[1].privateKey, keys[2].publicKey),
  ]
  for (const key of keys) t.same(followSuccessions(key.publicKey, chain), keys[2].publicKey)
  const stranger = makeSigningKeys()
  t.same(followSuccessions(stranger.publicKey, chain), stranger.publicKey)
  const forged = [signSuccession(stranger.privateKey, keys[1].publicKey)]
  t.same(followSuccessions(cluster.publicKey, forged), cluster.publicKey)
})
