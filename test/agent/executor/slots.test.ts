// The gate for a bounded number at a time.

import t from 'tap'
import { createSlots, untilAborted } from '../../../agent/executor/slots.ts'

const never = new AbortController().signal

interface Work {
  readonly run: () => Promise<string>
  readonly end: () => void
  readonly hasBegun: () => boolean
}

function work(name: string): Work {
  const { promise, resolve } = Promise.withResolvers<string>()
  let hasBegun = false
  const run = (): Promise<string> => {
    hasBegun = true
    return promise
  }
  return { run, end: () => resolve(name), hasBegun: () => hasBegun }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

t.test('two at a time, in order', async (t) => {
  const slots = createSlots(2)
  const all = ['a', 'b', 'c', 'd'].map(work)
  const results = all.map((one) => slots.run(one.run, never))
  const begun = (): boolean[] => all.map((one) => one.hasBegun())
  await settle()
  t.strictSame(begun(), [true, true, false, false])
  all[1]?.end()
  await settle()
  t.strictSame(begun(), [true, true, true, false])
  for (const one of all) one.end()
  t.strictSame(await Promise.all(results), ['a', 'b', 'c', 'd'])
})

t.test('work that throws gives its place back', async (t) => {
  const slots = createSlots(1)
  await t.rejects(
    slots.run(async () => Promise.reject(new Error('x')), never),
    { message: 'x' },
  )
  t.equal(await slots.run(async () => 'y', never), 'y')
})

t.test('one that gives up waiting loses its place, and nobody else does', async (t) => {
  const slots = createSlots(1)
  const [first, second, third] = [work('1'), work('2'), work('3')]
  const controller = new AbortController()
  const running = slots.run(first.run, never)
  const givenUp = slots.run(second.run, controller.signal)
  const waiting = slots.run(third.run, never)
  controller.abort(new Error('enough'))
  await t.rejects(givenUp, { message: 'enough' })
  first.end()
  third.end()
  t.strictSame(await Promise.all([running, waiting]), ['1', '3'])
  t.notOk(second.hasBegun())
  await t.rejects(slots.run(second.run, controller.signal), { message: 'enough' })
})

t.test('a promise one may stop waiting for', async (t) => {
  const controller = new AbortController()
  t.equal(await untilAborted(Promise.resolve(1), controller.signal), 1)
  await t.rejects(untilAborted(Promise.reject(new Error('own')), controller.signal), {
    message: 'own',
  })
  const waiting = untilAborted(new Promise(() => undefined), controller.signal)
  controller.abort(new Error('given up'))
  await t.rejects(waiting, { message: 'given up' })
})
