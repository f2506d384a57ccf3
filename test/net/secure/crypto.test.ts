// Cryptography against the published vectors, and against changed bits.

import t from 'tap'
import {
  deriveKey,
  exchange,
  exchangePublicKey,
  freshBytes,
  isEqual,
  makeExchangeKeys,
  makeSigningKeys,
  open,
  openFrame,
  seal,
  sealFrame,
  sealOverheadBytes,
  sha256,
  sign,
  signingPublicKey,
  verify,
} from '../../../net/secure/crypto.ts'

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
}

function hex(value: Uint8Array | undefined): string {
  return value === undefined ? 'undefined' : Buffer.from(value).toString('hex')
}

t.test('what is sealed opens with its key only, and not with a changed bit', async (t) => {
  const key = freshBytes(32)
  for (const size of [0, 1, 31, 5_000]) {
    const plain = freshBytes(size)
    const sealed = seal(key, plain)
    t.equal(sealed.length, size + sealOverheadBytes)
    t.equal(hex(open(key, sealed)), hex(plain))
    t.equal(open(freshBytes(32), sealed), undefined)
    t.equal(open(freshBytes(16), sealed), undefined)
    for (const at of [0, 23, 24, 39, sealed.length - 1]) {
      const bad = sealed.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      t.equal(open(key, bad), undefined)
    }
    t.equal(open(key, sealed.subarray(0, 39)), undefined)
  }
  t.not(hex(seal(key, new Uint8Array(9))), hex(seal(key, new Uint8Array(9))), 'a nonce each')
})

t.test('SHA-256 and HKDF give the published values (FIPS 180-4, RFC 5869 case 1)', async (t) => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  t.equal(hex(sha256(bytes('61'), bytes('6263'))), abc)
  const secret = bytes('0b'.repeat(22))
  const salt = bytes('000102030405060708090a0b0c')
  const key = deriveKey({ secret, salt, purpose: bytes('f0f1f2f3f4f5f6f7f8f9'), bytes: 42 })
  const want =
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'
  t.equal(hex(key), want)
  t.not(hex(deriveKey({ secret, purpose: 'a' })), hex(deriveKey({ secret, purpose: 'b' })))
})

t.test('Ed25519 gives the published values (RFC 8032, 7.1, test 2)', async (t) => {
  const privateKey = bytes('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb')
  const publicKey = bytes('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  const signature = bytes(`
    92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00`)
  const message = bytes('72')
  t.equal(hex(signingPublicKey(privateKey)), hex(publicKey))
  t.equal(hex(sign(privateKey, message)), hex(signature))
  t.ok(verify(publicKey, { message, signature }))
  t.notOk(verify(publicKey, { message: bytes('73'), signature }))
  t.notOk(verify(publicKey, { message, signature: signature.subarray(1) }))
  t.notOk(verify(publicKey.subarray(1), { message, signature }))
  t.notOk(verify(makeSigningKeys().publicKey, { message, signature }))
})

t.test('X25519 gives the published values (RFC 7748, 5.2), and both sides the same', async (t) => {
  const scalar = bytes('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4')
  const point = bytes('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')
  const want = 'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552'
  t.equal(hex(exchange(scalar, point)), want)
  const [alice, bob] = [makeExchangeKeys(), makeExchangeKeys()]
  const one = exchange(alice.privateKey, exchangePublicKey(bob.privateKey))
  t.equal(hex(one), hex(exchange(bob.privateKey, alice.publicKey)))
  t.equal(exchange(alice.privateKey, new Uint8Array(32)), undefined, 'a key of low order')
})

t.test('ChaCha20-Poly1305 gives the published values (RFC 8439, 2.8.2)', async (t) => {
  const key = bytes('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
  const nonce = bytes('070000004041424344454647')
  const context = bytes('50515253c0c1c2c3c4c5c6c7')
  const text =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the " +
    'future, sunscreen would be it.'
  const plain = new Uint8Array(Buffer.from(text))
  const sealed = sealFrame({ key, nonce, plain, context })
  t.equal(hex(sealed.subarray(0, 8)), 'd31a8d34648e60db')
  t.equal(hex(sealed.subarray(plain.length)), '1ae10b594f09e26a7e902ecbd0600691')
  t.equal(hex(openFrame({ key, nonce, sealed, context })), hex(plain))
  t.equal(openFrame({ key, nonce, sealed }), undefined)
  t.equal(openFrame({ key, nonce, sealed: sealed.subarray(1), context }), undefined)
  t.equal(openFrame({ key, nonce, sealed: new Uint8Array(3), context }), undefined)
})

t.test('keys are compared whole', async (t) => {
  t.ok(isEqual(bytes('0102'), bytes('0102')))
  t.notOk(isEqual(bytes('0102'), bytes('0103')))
  t.notOk(isEqual(bytes('0102'), bytes('01')))
})
