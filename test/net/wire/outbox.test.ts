// The outbox: what waits, what is dropped, what is replaced.

import t from 'tap'
import { decodeLimits } from '../../../net/wire/codec.ts'
import { decodeEnvelope } from '../../../net/wire/messages.ts'
import { createOutbox, type Outbox, urgentBytesMax } from '../../../net/wire/outbox.ts'

function drain(outbox: Outbox): readonly unknown[] {
  const bodies: unknown[] = []
  for (const isUrgent of [true, false]) {
    for (let bytes = outbox.take(isUrgent); bytes !== undefined; bytes = outbox.take(isUrgent)) {
      bodies.push(decodeEnvelope(bytes, decodeLimits).body)
    }
  }
  return bodies
}

t.test('urgent messages leave first, each kind in its order', async (t) => {
  const outbox = createOutbox()
  outbox.push('append', 1)
  outbox.push('vote', 2, { isUrgent: true })
  outbox.push('append', 3)
  outbox.push('vote', 4, { isUrgent: true })
  t.same(drain(outbox), [2, 4, 1, 3])
})

t.test('a large message is not urgent, whatever it says', async (t) => {
  const outbox = createOutbox()
  outbox.push('vote', 'x'.repeat(urgentBytesMax), { isUrgent: true })
  t.equal(outbox.take(true), undefined)
  t.ok(outbox.hasMessage(false))
})

t.test('the oldest is dropped when there are too many, or too many bytes', async (t) => {
  const few = createOutbox({ messagesMax: 3, bytesMax: 1_000 })
  for (const body of [1, 2, 3, 4, 5]) few.push('a', body)
  t.same(few.counts(), { dropped: 2, replaced: 0 })
  t.same(drain(few), [3, 4, 5])
  for (const body of ['x'.repeat(400), 'y'.repeat(400), 'z'.repeat(400)]) few.push('a', body)
  t.same(
    drain(few).map((body) => String(body)[0]),
    ['y', 'z'],
  )
  t.throws(() => few.push('a', 'x'.repeat(1_001)), { code: 'too-large' })
})

t.test('ordinary messages are dropped before urgent ones', async (t) => {
  const outbox = createOutbox({ messagesMax: 2, bytesMax: 1_000 })
  outbox.push('vote', 1, { isUrgent: true })
  outbox.push('append', 2)
  outbox.push('append', 3)
  t.same(drain(outbox), [1, 3])
})

t.test('a newer state takes the place of an unsent older one', async (t) => {
  const outbox = createOutbox()
  for (const body of [1, 2, 3]) {
    outbox.push('heartbeat', body, { isUrgent: true, replaces: 'heartbeat' })
    outbox.push('append', body * 10)
  }
  t.same(outbox.counts(), { dropped: 0, replaced: 2 })
  t.same(drain(outbox), [3, 10, 20, 30])
  outbox.push('heartbeat', 4, { replaces: 'heartbeat' })
  t.same(drain(outbox), [4], 'what has left is not replaced')
})
