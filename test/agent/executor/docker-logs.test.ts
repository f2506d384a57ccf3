// The engine's log stream, framed and not, cut anywhere.

import t from 'tap'
import { logQuery, parseFrames, parseLines } from '../../../agent/executor/docker-logs.ts'
import type { LogEntry } from '../../../agent/executor/executor.ts'

const time = '2026-11-22T16:31:23.550541948Z'
const later = '2026-11-22T16:31:24.000000001Z'

function frame(stream: number, line: string): Uint8Array {
  const bytes = new TextEncoder().encode(line)
  const whole = new Uint8Array(8 + bytes.length)
  whole[0] = stream
  new DataView(whole.buffer).setUint32(4, bytes.length)
  whole.set(bytes, 8)
  return whole
}

async function* chunks(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

interface Shown {
  readonly stream: string
  readonly time: string
  readonly text: string
  readonly details?: Readonly<Record<string, string>>
}

async function read(entries: AsyncIterable<LogEntry>): Promise<readonly Shown[]> {
  const shown: Shown[] = []
  for await (const { data, ...rest } of entries) {
    shown.push({ ...rest, text: new TextDecoder().decode(data) })
  }
  return shown
}

t.test('frames, wherever the stream is cut', async (t) => {
  const bytes = Buffer.concat([
    frame(1, `${time}  out  two spaces\n`),
    frame(2, `${later} a=b,c=d%20e err\n`),
    frame(1, `${later}  \n`),
  ])
  for (const size of [1, 7, 8, 9, bytes.length]) {
    t.strictSame(await read(parseFrames(chunks(bytes, size))), [
      { stream: 'stdout', time, text: 'out  two spaces\n' },
      { stream: 'stderr', time: later, text: 'err\n', details: { a: 'b', c: 'd e' } },
      { stream: 'stdout', time: later, text: '\n' },
    ])
  }
})

t.test('bytes that are no UTF-8 stay what they are', async (t) => {
  const head = frame(1, `${time}  `)
  const bytes = Buffer.concat([head, Uint8Array.of(0xff, 0x00, 0xfe)])
  bytes.writeUInt32BE(bytes.length - 8, 4)
  for await (const { data } of parseFrames(chunks(bytes, 5))) {
    t.strictSame([...data], [0xff, 0x00, 0xfe])
  }
})

t.test('a stream that ends within a frame, or is none, is damaged', async (t) => {
  const bytes = frame(1, `${time}  x\n`)
  await t.rejects(read(parseFrames(chunks(bytes.subarray(0, 20), 20))), { code: 'damaged-data' })
  await t.rejects(read(parseFrames(chunks(Buffer.from('HTTP/1.1 200 OK'), 15))), {
    code: 'damaged-data',
  })
})

t.test('lines of a terminal', async (t) => {
  const bytes = Buffer.from(`${time}  one\r\n${later}  two\r\n`)
  for (const size of [1, 10, bytes.length]) {
    t.strictSame(await read(parseLines(chunks(bytes, size))), [
      { stream: 'stdout', time, text: 'one\r\n' },
      { stream: 'stdout', time: later, text: 'two\r\n' },
    ])
  }
})

t.test('a long line of a terminal comes in pieces with times of their own', async (t) => {
  const piece = 'x'.repeat(16 * 1024)
  const bytes = Buffer.from(`${time}  ${piece}${later}  rest\r\n`)
  t.strictSame(await read(parseLines(chunks(bytes, 1000))), [
    { stream: 'stdout', time, text: piece },
    { stream: 'stdout', time: later, text: 'rest\r\n' },
  ])
})

t.test('the query', async (t) => {
  const all = { stdout: true, stderr: false, follow: true }
  t.strictSame(logQuery(all), { ...all, timestamps: true, details: true, tail: 'all' })
  const some = logQuery({ ...all, tail: 0, sinceMs: 1_795_365_240_007, untilMs: 5 })
  t.match(some, { tail: 0, since: '1795365240.007', until: '0.005' })
})
