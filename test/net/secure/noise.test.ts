// The handshake against the published vectors, and against every changed bit.

import t from 'tap'
import {
  exchangePublicKey,
  type KeyPair,
  makeExchangeKeys,
  openFrame,
  sealFrame,
} from '../../../net/secure/crypto.ts'
import {
  createNoise,
  type Noise,
  type NoiseSide,
  nextKey,
  noiseNonce,
  noiseOverheadBytes,
} from '../../../net/secure/noise.ts'
import { noiseVectors } from './noise-vectors.ts'

const nothing = new Uint8Array(0)

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

function hex(value: Uint8Array | undefined): string {
  return value === undefined ? 'undefined' : Buffer.from(value).toString('hex')
}

function keys(privateKey: string): KeyPair {
  return { privateKey: bytes(privateKey), publicKey: exchangePublicKey(bytes(privateKey)) }
}

for (const vector of noiseVectors) {
  t.test(`the vector of ${vector.source} comes out byte for byte`, async (t) => {
    const side = (side: NoiseSide): Noise =>
      createNoise({
        side,
        staticKeys: keys(vector[side].static),
        ephemeralKeys: keys(vector[side].ephemeral),
        prologue: bytes(vector.prologue),
      })
    const [initiator, responder] = [side('initiator'), side('responder')]
    const [first, second, third, ...transport] = vector.messages
    const turns = [
      [initiator, responder, first],
      [responder, initiator, second],
      [initiator, responder, third],
    ] as const
    for (const [writer, reader, message] of turns) {
      const written = writer.write(bytes(message?.payload ?? ''))
      t.equal(hex(written), message?.ciphertext)
      t.equal(hex(reader.read(written)), message?.payload)
    }
    const [ours, theirs] = [initiator.finish(), responder.finish()]
    t.equal(hex(ours.hash), hex(theirs.hash))
    if (vector.hash !== undefined) t.equal(hex(ours.hash), vector.hash)
    t.equal(hex(ours.peersKey), hex(keys(vector.responder.static).publicKey))
    t.equal(hex(theirs.peersKey), hex(keys(vector.initiator.static).publicKey))
    // The vectors go on by turns: the responder's is the first, each with a count of its own.
    for (const [index, message] of transport.entries()) {
      const [writer, reader] = index % 2 === 0 ? [theirs, ours] : [ours, theirs]
      const nonce = noiseNonce(Math.floor(index / 2))
      const sealed = sealFrame({ key: writer.sendKey, nonce, plain: bytes(message.payload) })
      t.equal(hex(sealed), message.ciphertext)
      t.equal(hex(openFrame({ key: reader.receiveKey, nonce, sealed })), message.payload)
    }
  })
}

function pair(prologues: readonly [string, string] = ['', '']): readonly [Noise, Noise] {
  const [first, second] = prologues.map((text) => new TextEncoder().encode(text))
  return [
    createNoise({
      side: 'initiator',
      staticKeys: makeExchangeKeys(),
      prologue: first ?? nothing,
    }),
    createNoise({
      side: 'responder',
      staticKeys: makeExchangeKeys(),
      prologue: second ?? nothing,
    }),
  ]
}

t.test('messages are longer than their payloads by what is said', async (t) => {
  const [initiator, responder] = pair()
  const first = initiator.write(nothing)
  responder.read(first)
  const second = responder.write(nothing)
  initiator.read(second)
  const third = initiator.write(nothing)
  t.same([first.length, second.length, third.length], noiseOverheadBytes)
})

t.test('two who have another prologue in mind do not understand each other', async (t) => {
  const [initiator, responder] = pair(['skep 1', 'skep 2'])
  responder.read(initiator.write(nothing))
  const second = responder.write(nothing)
  t.throws(() => initiator.read(second), { code: 'bad-request' })
})

t.test('a changed bit anywhere, a cut and an addition are refused', async (t) => {
  const run = (turn: number, change: (message: Uint8Array) => Uint8Array): void => {
    const [initiator, responder] = pair()
    let message = initiator.write(nothing)
    if (turn === 0) message = change(message)
    responder.read(message)
    message = responder.write(bytes('aa'))
    if (turn === 1) message = change(message)
    initiator.read(message)
    message = initiator.write(bytes('bb'))
    if (turn === 2) message = change(message)
    responder.read(message)
  }
  t.doesNotThrow(() => run(3, (message) => message))
  for (const turn of [0, 1, 2]) {
    const length = (noiseOverheadBytes[turn] ?? 0) + (turn === 0 ? 0 : 1)
    for (let at = 0; at < length; at += 7) {
      const flip = (message: Uint8Array): Uint8Array =>
        message.with(at, (message[at] ?? 0) ^ (1 << (at % 7)))
      t.throws(() => run(turn, flip), { code: 'bad-request' }, `message ${turn}, byte ${at}`)
      t.throws(() => run(turn, (message) => message.slice(0, at)), { code: 'bad-request' })
    }
    const longer = (message: Uint8Array): Uint8Array => new Uint8Array([...message, 0])
    t.throws(() => run(turn, longer), { code: 'bad-request' })
  }
})

t.test('a key of low order, that would give zeros to everybody, is refused', async (t) => {
  const [, responder] = pair()
  responder.read(new Uint8Array(32))
  t.throws(() => responder.write(nothing), { code: 'bad-request', message: /low order/ })
})

t.test('the next key is another and does not lead back', async (t) => {
  const key = bytes('11'.repeat(32))
  t.not(hex(nextKey(key)), hex(key))
  t.equal(hex(nextKey(key)), hex(nextKey(key)))
  t.equal(hex(noiseNonce(2 ** 32 + 5)), '000000000500000001000000')
})
