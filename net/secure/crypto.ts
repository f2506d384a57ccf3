// Cryptography: one function for each thing that we do, raw bytes in and out.
//
// What lies still (keys, logs, snapshots on disk) goes into nacl's secretbox, as SwarmKit's keys
// and logs do; what moves (handshakes, frames, signed tables) uses OpenSSL through node:crypto,
// a hundred times quicker at signatures.
//
//   sealed   +-----------+-----------+-----------------+
//            | nonce, 24 | MAC, 16   | as long as plain |
//            +-----------+-----------+-----------------+
//
// The only importer of tweetnacl, and the door of node:crypto. Who holds which key is left to the
// keystore and to the handshake.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type Hash,
  hkdfSync,
  type KeyObject,
  sign as opensslSign,
  verify as opensslVerify,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import nacl from 'tweetnacl'
import { assert } from '../../core/base/assert.ts'

/** Bytes of every symmetric key, private key, public key, and of a SHA-256 digest. */
export const keyBytes = 32
export const signatureBytes = 64
/** Bytes of AEAD's nonce and of its tag behind the ciphertext. */
export const aeadNonceBytes = 12
export const aeadTagBytes = 16
const sealNonceBytes = nacl.secretbox.nonceLength
/** What sealing adds to the length. */
export const sealOverheadBytes = sealNonceBytes + nacl.secretbox.overheadLength

/** A pair of raw keys, Ed25519 for signatures or X25519 for exchanges. */
export interface KeyPair {
  readonly publicKey: Uint8Array
  readonly privateKey: Uint8Array
}

/** Random bytes of the operating system, for keys and nonces. */
export function freshBytes(count: number): Uint8Array {
  return new Uint8Array(randomBytes(count))
}

/** Seals at rest: XSalsa20-Poly1305 with a random nonce in front. */
export function seal(key: Uint8Array, plain: Uint8Array): Uint8Array {
  assert(key.length === keyBytes, 'a key to seal with has 32 bytes')
  const nonce = freshBytes(sealNonceBytes)
  const box = nacl.secretbox(plain, nonce, key)
  const sealed = new Uint8Array(sealNonceBytes + box.length)
  sealed.set(nonce)
  sealed.set(box, sealNonceBytes)
  return sealed
}

/** What was sealed, or undefined if the key is another or a bit was changed. */
export function open(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (key.length !== keyBytes || sealed.length < sealOverheadBytes) return undefined
  const nonce = sealed.subarray(0, sealNonceBytes)
  return nacl.secretbox.open(sealed.subarray(sealNonceBytes), nonce, key) ?? undefined
}

/** SHA-256 of the parts, one after the other. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** SHA-256 of what comes in pieces. `digest` is called once, last. */
export interface Digester {
  readonly update: (bytes: Uint8Array) => void
  readonly digest: () => Uint8Array
}

/** A SHA-256 to be fed. */
export function createSha256(): Digester {
  const hash: Hash = createHash('sha256')
  return { update: (bytes) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) }
}

/** HKDF-SHA256 (RFC 5869). `purpose`, its "info", keeps keys for different uses apart. */
export function deriveKey(options: {
  readonly secret: Uint8Array
  readonly purpose: string | Uint8Array
  readonly salt?: Uint8Array
  readonly bytes?: number
}): Uint8Array {
  const salt = options.salt ?? new Uint8Array(0)
  const length = options.bytes ?? keyBytes
  return new Uint8Array(hkdfSync('sha256', options.secret, salt, options.purpose, length))
}

/** True if equal, in a time that tells nothing of where they differ (their length is no secret). */
export function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right)
}

// OpenSSL takes keys only in their ASN.1 wrapping (RFC 8410), which is a constant before 32 bytes.
const wrappings = {
  ed25519: { private: '302e020100300506032b657004220420', public: '302a300506032b6570032100' },
  x25519: { private: '302e020100300506032b656e04220420', public: '302a300506032b656e032100' },
} as const
type Curve = keyof typeof wrappings

function importKey(curve: Curve, part: 'private' | 'public', raw: Uint8Array): KeyObject {
  assert(raw.length === keyBytes, `a ${curve} ${part} key has 32 bytes`)
  const key = Buffer.concat([Buffer.from(wrappings[curve][part], 'hex'), raw])
  return part === 'private'
    ? createPrivateKey({ key, format: 'der', type: 'pkcs8' })
    : createPublicKey({ key, format: 'der', type: 'spki' })
}

function makeKeys(curve: Curve): KeyPair {
  const pair = curve === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519')
  return {
    publicKey: rawOf(pair.publicKey.export({ format: 'der', type: 'spki' })),
    privateKey: rawOf(pair.privateKey.export({ format: 'der', type: 'pkcs8' })),
  }
}

function rawOf(wrapped: Uint8Array): Uint8Array {
  return new Uint8Array(wrapped.subarray(wrapped.length - keyBytes))
}

function publicKeyOf(curve: Curve, privateKey: Uint8Array): Uint8Array {
  const wrapped = createPublicKey(importKey(curve, 'private', privateKey))
  return rawOf(wrapped.export({ format: 'der', type: 'spki' }))
}

/** A new Ed25519 pair (RFC 8032). */
export function makeSigningKeys(): KeyPair {
  return makeKeys('ed25519')
}

/** The public part of an Ed25519 private key. */
export function signingPublicKey(privateKey: Uint8Array): Uint8Array {
  return publicKeyOf('ed25519', privateKey)
}

/** Ed25519 signature, 64 bytes. */
export function sign(privateKey: Uint8Array, message: Uint8Array): Uint8Array {
  return new Uint8Array(opensslSign(null, message, importKey('ed25519', 'private', privateKey)))
}

/** True for a good Ed25519 signature; false for anything else, of whatever length. */
export function verify(
  publicKey: Uint8Array,
  signed: { readonly message: Uint8Array; readonly signature: Uint8Array },
): boolean {
  if (publicKey.length !== keyBytes || signed.signature.length !== signatureBytes) return false
  const key = importKey('ed25519', 'public', publicKey)
  return opensslVerify(null, signed.message, key, signed.signature)
}

/** A new X25519 pair (RFC 7748). */
export function makeExchangeKeys(): KeyPair {
  return makeKeys('x25519')
}

/** The public part of an X25519 private key. */
export function exchangePublicKey(privateKey: Uint8Array): Uint8Array {
  return publicKeyOf('x25519', privateKey)
}

/**
 * The X25519 shared secret, or undefined for a peer's key of low order, which would give zeros to
 * everybody.
 */
export function exchange(privateKey: Uint8Array, peersKey: Uint8Array): Uint8Array | undefined {
  try {
    const secret = diffieHellman({
      privateKey: importKey('x25519', 'private', privateKey),
      publicKey: importKey('x25519', 'public', peersKey),
    })
    return secret.every((byte) => byte === 0) ? undefined : new Uint8Array(secret)
  } catch {
    // OpenSSL refuses such keys with an error that has no better name.
    return undefined
  }
}

/** ChaCha20-Poly1305 (RFC 8439): ciphertext, then the tag of 16 bytes. Never reuse a nonce. */
export function sealFrame(options: {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly plain: Uint8Array
  readonly context?: Uint8Array
}): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', options.key, options.nonce, {
    authTagLength: aeadTagBytes,
  })
  if (options.context !== undefined) {
    cipher.setAAD(options.context, { plaintextLength: options.plain.length })
  }
  const sealed = new Uint8Array(options.plain.length + aeadTagBytes)
  sealed.set(cipher.update(options.plain))
  cipher.final()
  sealed.set(cipher.getAuthTag(), options.plain.length)
  return sealed
}

/** The plain bytes of a sealed frame, or undefined if key, nonce, context or a bit is another. */
export function openFrame(options: {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
  readonly context?: Uint8Array
}): Uint8Array | undefined {
  const length = options.sealed.length - aeadTagBytes
  if (length < 0) return undefined
  const decipher = createDecipheriv('chacha20-poly1305', options.key, options.nonce, {
    authTagLength: aeadTagBytes,
  })
  if (options.context !== undefined) {
    decipher.setAAD(options.context, { plaintextLength: length })
  }
  decipher.setAuthTag(options.sealed.subarray(length))
  const plain = decipher.update(options.sealed.subarray(0, length))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return new Uint8Array(plain)
}
