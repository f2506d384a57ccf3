// The cluster's key as a certificate: what other programs make of it.

import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { makeSigningKeys } from '../../../net/secure/crypto.ts'
import { trustRootOf } from '../../../net/secure/trust-root.ts'

t.test('a trust root is a certificate that its own key has signed', (t) => {
  const key = makeSigningKeys()
  const root = trustRootOf(key)
  const certificate = new X509Certificate(root.certificate)
  t.equal(certificate.subject, 'CN=swarm-ca')
  t.equal(certificate.issuer, 'CN=swarm-ca')
  t.ok(certificate.ca)
  t.ok(certificate.verify(certificate.publicKey))
  t.ok(certificate.checkIssued(certificate))
  t.equal(certificate.validTo, 'Dec 31 23:59:59 9999 GMT')
  t.same(certificate.publicKey.export({ format: 'der', type: 'spki' }), Buffer.from(root.publicKey))
  t.notOk(
    certificate.verify(new X509Certificate(trustRootOf(makeSigningKeys()).certificate).publicKey),
  )
  t.end()
})

t.test('equal keys give equal bytes', (t) => {
  const key = makeSigningKeys()
  t.same(trustRootOf(key), trustRootOf(key))
  t.not(trustRootOf(key).certificate, trustRootOf(makeSigningKeys()).certificate)
  t.end()
})
