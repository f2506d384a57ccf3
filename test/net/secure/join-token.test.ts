// Join tokens: Swarm's own form, ours with addresses, and Swarm's words for everything else.

import t from 'tap'
import { freshBytes, makeSigningKeys, sha256 } from '../../../net/secure/crypto.ts'
import {
  checkFingerprint,
  clusterDigest,
  formatJoinToken,
  isSameSecret,
  type JoinAddress,
  makeJoinSecret,
  parseJoinToken,
} from '../../../net/secure/join-token.ts'

const swarmToken =
  'SWMTKN-1-0ylieng8i6egc0gbhqfprvuf66xfybwofsh4vqqi1ouiox6xe9-1byhgnbnny5zlyk215nhft0fk'

t.test("a token of Swarm's is read and written as it was", async (t) => {
  const token = parseJoinToken(swarmToken)
  t.same(token.addresses, [])
  t.equal(token.secret, '1byhgnbnny5zlyk215nhft0fk')
  t.equal(formatJoinToken(token), swarmToken)
  t.equal(formatJoinToken(parseJoinToken(` ${swarmToken}\n`)), swarmToken)
})

t.test('the digest in the error is the one that Swarm shows for the same token', async (t) => {
  t.throws(() => checkFingerprint(parseJoinToken(swarmToken), makeSigningKeys().publicKey), {
    code: 'bad-request',
    message:
      'remote CA does not match fingerprint. Expected: ' +
      '268f1daac122d1d1550477b68a567f44ee8831759f75ba091e1bb75d2628af91',
  })
})

t.test('the cluster of the token is accepted', async (t) => {
  const { publicKey } = makeSigningKeys()
  const token = { digest: clusterDigest(publicKey), secret: makeJoinSecret(), addresses: [] }
  t.doesNotThrow(() => checkFingerprint(parseJoinToken(formatJoinToken(token)), publicKey))
})

const addresses: readonly { readonly text: string; readonly want: readonly JoinAddress[] }[] = [
  { text: '10.99.0.11', want: [{ host: '10.99.0.11', port: 2377 }] },
  { text: '10.99.0.11:2399', want: [{ host: '10.99.0.11', port: 2399 }] },
  { text: 'fd00::1', want: [{ host: 'fd00::1', port: 2377 }] },
  { text: 'fd00::1@2399', want: [{ host: 'fd00::1', port: 2399 }] },
  { text: 'm-1.example.org', want: [{ host: 'm-1.example.org', port: 2377 }] },
  {
    text: '10.0.0.1,m-2:1,::1',
    want: [
      { host: '10.0.0.1', port: 2377 },
      { host: 'm-2', port: 1 },
      { host: '::1', port: 2377 },
    ],
  },
]
for (const { text, want } of addresses) {
  t.test(`addresses ${text} travel in a token that no shell changes`, async (t) => {
    const token = { digest: sha256(freshBytes(4)), secret: makeJoinSecret(), addresses: want }
    const formatted = formatJoinToken(token)
    t.ok(formatted.endsWith(`-${text}`))
    t.match(formatted, /^[0-9A-Za-z:.,@_-]+$/)
    t.same(parseJoinToken(formatted), token)
  })
}

t.test('digests with zeros in front keep their length', async (t) => {
  for (const digest of [new Uint8Array(32), new Uint8Array(32).fill(1, 31), freshBytes(32)]) {
    const text = formatJoinToken({ digest, secret: makeJoinSecret(), addresses: [] })
    t.equal(text.length, 'SWMTKN-1-'.length + 50 + 1 + 25)
    t.same(parseJoinToken(text).digest, digest)
  }
})

const wrong = [
  '',
  'SWMTKN-1-bad',
  'SWMTKN-2-0ylieng8i6egc0gbhqfprvuf66xfybwofsh4vqqi1ouiox6xe9-1byhgnbnny5zlyk215nhft0fk',
  swarmToken.toUpperCase(),
  swarmToken.slice(0, -1),
  `${swarmToken}a`,
  `${swarmToken}-`,
  `${swarmToken}-:2377`,
  `${swarmToken}-10.0.0.1:0`,
  `${swarmToken}-10.0.0.1:70000`,
  `${swarmToken}-10.0.0.1,`,
  `${swarmToken}-a b`,
  `${swarmToken}-$(reboot)`,
  `${swarmToken}-${Array(17).fill('10.0.0.1').join(',')}`,
  `SWMTKN-1-${'z'.repeat(50)}-1byhgnbnny5zlyk215nhft0fk`,
]
for (const text of wrong) {
  t.test(`no token: ${text.slice(0, 20)}...${text.slice(-20)}`, async (t) => {
    t.throws(() => parseJoinToken(text), { code: 'bad-request', message: 'invalid join token' })
  })
}

t.test('secrets are 25 characters, never twice the same, and compared whole', async (t) => {
  const [one, two] = [makeJoinSecret(), makeJoinSecret()]
  t.match(one, /^[0-9a-z]{25}$/)
  t.not(one, two)
  t.ok(isSameSecret(one, one))
  t.notOk(isSameSecret(one, two))
  t.notOk(isSameSecret(one, one.slice(1)))
  t.notOk(isSameSecret('', one))
})
