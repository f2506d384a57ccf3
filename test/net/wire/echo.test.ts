// Echoes: whatever is said comes out the same at the other end, shorter if it was said before.

import fc from 'fast-check'
import t from 'tap'
import { EchoMemory } from '../../../net/wire/echo.ts'

/** Sends the message from one memory to the other; returns what came and what it cost. */
function say(
  said: EchoMemory,
  heard: EchoMemory,
  message: Uint8Array,
): { readonly came: Uint8Array; readonly bytes: number } {
  const echo = said.shorten(message)
  if (echo !== undefined) return { came: heard.restore(echo), bytes: echo.length }
  said.remember(message)
  heard.remember(message)
  return { came: message, bytes: message.length }
}

t.test('a heartbeat that counts costs a few bytes', async (t) => {
  const [said, heard] = [new EchoMemory(), new EchoMemory()]
  const beat = new Uint8Array(195).fill(7)
  for (let count = 0; count < 300; count++) {
    new DataView(beat.buffer).setUint16(100, count)
    const { came, bytes } = say(said, heard, beat)
    t.same(came, beat)
    if (count > 0) t.ok(bytes <= 6, `${bytes} bytes`)
  }
})

t.test('any row of messages comes out as it went in', async (t) => {
  const message = fc.oneof(
    fc.uint8Array({ minLength: 0, maxLength: 40 }),
    // Alike, as echoes want them.
    fc.uint8Array({ minLength: 3, maxLength: 3 }).map((bytes) => {
      const long = new Uint8Array(300).fill(1)
      long.set(bytes, (bytes[0] ?? 0) % 290)
      return long
    }),
    fc.constant(new Uint8Array(600)),
  )
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      const [said, heard] = [new EchoMemory(), new EchoMemory()]
      for (const each of messages) {
        const { came } = say(said, heard, each)
        if (Buffer.compare(came, each) !== 0) return false
        // Who has read it may scribble on it.
        came.fill(0xee)
      }
      return true
    }),
  )
  t.pass('300 bytes, 600 bytes, nothing')
})

t.test('what cannot be an echo is refused', async (t) => {
  const heard = new EchoMemory()
  heard.remember(new Uint8Array(10))
  for (const bytes of [[], [3], [0, 0], [0, 0, 9, 2, 1], [0, 0, 9, 2, 1, 1], [0, 1, 0, 1, 5]]) {
    t.throws(() => heard.restore(Uint8Array.from(bytes)), { code: 'bad-request' }, `${bytes}`)
  }
  t.same(heard.restore(Uint8Array.from([0])), new Uint8Array(10))
})
