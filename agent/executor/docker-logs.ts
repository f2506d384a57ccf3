// The engine's log stream, taken apart. Without a terminal it is framed, one frame a message:
//
//   byte 0       1 2 3    4 5 6 7            8...
//   stream 1|2   0 0 0    length, big-endian "2026-01-02T03:04:05.123456789Z k=v,k2=v2 text\n"
//
// With a terminal there are no frames: only such lines, all of them stdout.

import { CodedError } from '../../core/base/error.ts'
import type { LogEntry, LogOptions } from './executor.ts'

/** A frame above this is no log line: the stream is not what we think it is. */
const frameBytesMax = 16 * 1024 * 1024
/** Log drivers cut a longer line into pieces of this size. */
const pieceBytes = 16 * 1024
const newline = 10
const space = 32

/** The query of GET /containers/ID/logs. Times and details are always asked for. */
export function logQuery(options: LogOptions): Readonly<Record<string, string | number | boolean>> {
  return {
    stdout: options.stdout,
    stderr: options.stderr,
    follow: options.follow,
    timestamps: true,
    details: true,
    tail: options.tail ?? 'all',
    ...(options.sinceMs === undefined ? {} : { since: seconds(options.sinceMs) }),
    ...(options.untilMs === undefined ? {} : { until: seconds(options.untilMs) }),
  }
}

/** Milliseconds to "seconds.fraction", as the engine takes times. */
export function seconds(ms: number): string {
  const whole = Math.floor(ms / 1000)
  return `${whole}.${String(Math.floor(ms - whole * 1000)).padStart(3, '0')}`
}

/** Entries of a framed stream. Throws `damaged-data` when it ends inside a frame or is none. */
export async function* parseFrames(body: AsyncIterable<Uint8Array>): AsyncIterable<LogEntry> {
  let rest: Uint8Array = new Uint8Array()
  for await (const chunk of body) {
    rest = rest.length === 0 ? chunk : concat(rest, chunk)
    let at = 0
    while (rest.length - at >= 8) {
      const length = frameLength(rest, at)
      if (rest.length - at < 8 + length) break
      const stream = rest[at] === 2 ? 'stderr' : 'stdout'
      yield parseLine(rest.subarray(at + 8, at + 8 + length), stream)
      at += 8 + length
    }
    rest = rest.subarray(at)
  }
  if (rest.length > 0) {
    throw new CodedError('damaged-data', `the log stream ends ${rest.length} bytes into a frame`)
  }
}

/** Entries of a terminal's stream. */
export async function* parseLines(body: AsyncIterable<Uint8Array>): AsyncIterable<LogEntry> {
  let rest: Uint8Array = new Uint8Array()
  for await (const chunk of body) {
    rest = rest.length === 0 ? chunk : concat(rest, chunk)
    let end = rest.indexOf(newline)
    while (end !== -1) {
      yield* parsePieces(rest.subarray(0, end + 1))
      rest = rest.subarray(end + 1)
      end = rest.indexOf(newline)
    }
  }
  if (rest.length > 0) yield* parsePieces(rest)
}

function frameLength(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  const length = view.getUint32(4)
  if (view.getUint8(0) <= 2 && length <= frameBytesMax) return length
  throw new CodedError('damaged-data', `no log frame: stream ${view.getUint8(0)}, ${length} bytes`)
}

/** A line above 16 KiB comes as pieces, each with a time of its own and no newline between. */
function* parsePieces(line: Uint8Array): Iterable<LogEntry> {
  let rest = line
  while (rest.length > 0) {
    const entry = parseLine(rest, 'stdout')
    const following = entry.data.subarray(pieceBytes)
    if (!startsWithTime(following)) {
      yield entry
      return
    }
    yield { ...entry, data: entry.data.subarray(0, pieceBytes) }
    rest = following
  }
}

function startsWithTime(bytes: Uint8Array): boolean {
  const head = new TextDecoder().decode(bytes.subarray(0, 36))
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) /.test(head)
}

function parseLine(line: Uint8Array, stream: LogEntry['stream']): LogEntry {
  const timeEnd = line.indexOf(space)
  const detailsEnd = timeEnd === -1 ? -1 : line.indexOf(space, timeEnd + 1)
  if (detailsEnd === -1) return { stream, time: '', data: line }
  const decoder = new TextDecoder()
  const details = parseDetails(decoder.decode(line.subarray(timeEnd + 1, detailsEnd)))
  return {
    stream,
    time: decoder.decode(line.subarray(0, timeEnd)),
    data: line.subarray(detailsEnd + 1),
    ...(details === undefined ? {} : { details }),
  }
}

function parseDetails(source: string): Readonly<Record<string, string>> | undefined {
  return source === ''
    ? undefined
    : Object.fromEntries(new URLSearchParams(source.replaceAll(',', '&')))
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array {
  const whole = new Uint8Array(left.length + right.length)
  whole.set(left)
  whole.set(right, left.length)
  return whole
}
