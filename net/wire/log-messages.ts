// What passes between a manager that wants the logs of tasks and the node that has them, on the wire.
// The node dials out, also for this: it may stand behind a router that lets nobody in.
//
//   manager                                     node
//     | -- logs.read: ticket, tasks, wish ----> |   request, control lane; from managers only
//     | <- logs: ticket ----------------------- |   stream, bulk lane, opened by the node
//     | <- entry, entry, entry, end ----------- |   frames; the stream's credit holds them back
//
//   manager without a connection to that node   another manager, which has one
//     | -- logs.where: node ------------------> |   request
//     | -- logs.relay: node, tasks, wish -----> |   stream; the same frames come back on it
//
//   entry   [ task, 1 stdout | 2 stderr, time, bytes, details ]   MessagePack, its length before it

import { CodedError } from '../../core/base/error.ts'
import { isId, type TaskId } from '../../core/base/id.ts'
import { type Fields, readCount, readFields, readFlag, readList, readOptional } from './check.ts'
import { createFrameParser, decode, encode, encodeFrame } from './codec.ts'

export const logKinds = {
  read: 'logs.read',
  stream: 'logs',
  where: 'logs.where',
  relay: 'logs.relay',
} as const

/** Which lines of a log are wanted. */
export interface LogWish {
  readonly stdout: boolean
  readonly stderr: boolean
  readonly follow: boolean
  /** Milliseconds since 1970. */
  readonly sinceMs?: number
  readonly untilMs?: number
  /** Last lines per task; absent: all. */
  readonly tail?: number
}

export interface LogAsk {
  readonly tasks: readonly TaskId[]
  readonly log: LogWish
}

/** One line, or a piece of a long one. */
export interface LogLine {
  readonly taskId: TaskId
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds. */
  readonly time: string
  readonly data: Uint8Array
  readonly details?: Readonly<Record<string, string>>
}

const tasksMax = 20_000
/** Data of one frame; longer lines go as several. */
const pieceBytesMax = 256 * 1024
const detailsBytesMax = 64 * 1024
const frameBytesMax = pieceBytesMax + detailsBytesMax + 1024
const lineLimits = { bytesMax: frameBytesMax, depthMax: 2, itemsMax: 4096 }

/** Reads what is asked for. Throws bad-request. */
export function readLogAsk(fields: Fields): LogAsk {
  const log = readFields(fields['log'], 'log')
  const time = (name: 'sinceMs' | 'untilMs'): { readonly [key: string]: number } => {
    const found = readOptional(log, name, () => readNumber(log, name))
    return found === undefined ? {} : { [name]: found }
  }
  const tail = readOptional(log, 'tail', () => readCount(log, 'tail'))
  return {
    tasks: readList(fields, 'tasks', { max: tasksMax, item: readTaskId }),
    log: {
      stdout: readFlag(log, 'stdout'),
      stderr: readFlag(log, 'stderr'),
      follow: readFlag(log, 'follow'),
      ...time('sinceMs'),
      ...time('untilMs'),
      ...(tail === undefined ? {} : { tail }),
    },
  }
}

function readNumber(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new CodedError('bad-request', `field ${name} must be a number`)
}

function readTaskId(value: unknown): TaskId {
  if (typeof value === 'string' && isId(value)) return value as TaskId
  throw new CodedError('bad-request', 'a list of tasks holds something that is no id')
}

/** The bytes of a line on the stream. */
export function encodeLogLine(line: LogLine): Uint8Array {
  const { taskId, stream, time, data } = line
  // What does not fit is not worth the line that it describes.
  const details = isShort(line.details) ? line.details : undefined
  const frames: Uint8Array[] = []
  for (let at = 0; at === 0 || at < data.length; at += pieceBytesMax) {
    const piece = data.subarray(at, at + pieceBytesMax)
    const row = [taskId, stream === 'stdout' ? 1 : 2, time, piece, details ?? null]
    frames.push(encodeFrame(encode(row)))
  }
  const [only] = frames
  return frames.length === 1 && only !== undefined ? only : concat(frames)
}

function isShort(details: LogLine['details']): boolean {
  const texts = Object.entries(details ?? {}).flat()
  return texts.reduce((sum, text) => sum + text.length * 3 + 5, 0) <= detailsBytesMax
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** The lines of a stream, to its end. Throws bad-request, and what the stream throws. */
export async function* decodeLogLines(stream: AsyncIterable<Uint8Array>): AsyncIterable<LogLine> {
  const parser = createFrameParser(frameBytesMax)
  for await (const bytes of stream) {
    for (const payload of parser.push(bytes)) yield readLine(decode(payload, lineLimits))
  }
  if (parser.heldBytes() > 0) throw new CodedError('bad-request', 'the logs end within a line')
}

function readLine(value: unknown): LogLine {
  const [task, stream, time, data, details]: readonly unknown[] = Array.isArray(value) ? value : []
  if ((stream !== 1 && stream !== 2) || typeof time !== 'string' || !(data instanceof Uint8Array)) {
    throw new CodedError('bad-request', 'the logs hold something that is no line')
  }
  const texts = details === null ? undefined : readFields(details, 'details')
  return {
    ...{ taskId: readTaskId(task), stream: stream === 1 ? 'stdout' : 'stderr', time, data },
    ...(texts === undefined
      ? {}
      : { details: Object.fromEntries(Object.entries(texts).map(([k, v]) => [k, String(v)])) }),
  }
}
