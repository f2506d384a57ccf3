// Values to bytes and back: MessagePack in plain form, and frames with a length before them.
//
// msgpackr is quick and trusting, like a porter who carries whatever he is handed. So each message
// first passes a customs officer: `inspect` walks over the bytes, allocates nothing, and turns away
// what is too deep, too long, too many, of a kind we never send (extensions, records, `__proto__`
// keys), or cut off. Only then is anything built.
//
//   frame   +-----------------+----------------------+
//           | length, u32 BE  | length bytes         |
//           +-----------------+----------------------+
//
// The only file that imports msgpackr. What the bytes mean is left to messages.ts and to storage.

import { isUtf8 } from 'node:buffer'
// The subpath is the pure JavaScript build: it never looks for the native msgpackr-extract.
import { Packr, RESET_BUFFER_MODE, Unpackr } from 'msgpackr/pack'
import { assert } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'

/** Bounds on one message, checked before anything of it is allocated. */
export interface DecodeLimits {
  readonly bytesMax: number
  /** Arrays and maps within each other. */
  readonly depthMax: number
  /** Values of all kinds, keys included. An empty array costs one byte here and 16 in memory. */
  readonly itemsMax: number
}

/** For messages between members and records on disk. Strangers get less: pass your own. */
export const decodeLimits: DecodeLimits = {
  bytesMax: 16 * 1024 * 1024,
  depthMax: 32,
  itemsMax: 1_000_000,
}

/** Bytes before a frame's payload. */
export const frameHeaderBytes = 4

/** A larger scratch buffer than this is given back after use. */
const scratchBytesMax = 256 * 1024
const scratchBytes = 16 * 1024

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  // Absence is an absent key: a key with the value undefined is left out, as JSON does.
  ...{ skipValues: [undefined] },
})
const unpackr = new Unpackr({
  useRecords: false,
  mapsAsObjects: true,
  int64AsType: 'number',
  copyBuffers: true,
})

/**
 * Plain data (null, booleans, numbers, strings, Uint8Array, arrays, records) as standard
 * MessagePack; equal values with equal key order give equal bytes. Keys whose value is undefined
 * are left out. Throws invalid-argument for what a peer would refuse: a key `__proto__`, a text
 * with half a surrogate pair, more than 32 levels; anything that is not plain data is a bug.
 */
export function encode(value: unknown): Uint8Array {
  checkPlain(value, 0)
  const packed = packr.pack(value, RESET_BUFFER_MODE)
  // A copy of its own: the scratch buffer is used again, and a short message must not pin it.
  const bytes = new Uint8Array(packed)
  // A Buffer, not a Uint8Array: msgpackr writes long texts by a method that only the former has.
  if (packed.buffer.byteLength > scratchBytesMax)
    packr.useBuffer(Buffer.allocUnsafeSlow(scratchBytes))
  return bytes
}

/**
 * The value of exactly these bytes. Byte strings are copies, so that a small part never keeps a
 * large buffer alive. Throws bad-request, with the offset, for anything but plain data in bounds.
 */
export function decode(bytes: Uint8Array, limits: DecodeLimits = decodeLimits): unknown {
  inspect(bytes, limits)
  // msgpackr hands out byte strings of the type it is given; a Buffer would leak into the data.
  return unpackr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

function checkPlain(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw unfit('a text has half a surrogate pair', value)
      return
    case 'number':
    case 'boolean':
      return
    case 'object':
      break
    default:
      assert(false, `${typeof value} is not plain data`)
  }
  if (value === null || value instanceof Uint8Array) return
  if (depth >= decodeLimits.depthMax) {
    throw unfit(`the data is nested deeper than ${decodeLimits.depthMax} levels`, '')
  }
  if (Array.isArray(value)) {
    for (const item of value) checkPlain(item, depth + 1)
    return
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  assert(prototype === Object.prototype || prototype === null, 'only plain records are encoded')
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__') throw unfit('the key is not allowed', key)
    if (!key.isWellFormed()) throw unfit('a key has half a surrogate pair', key)
    if (item !== undefined) checkPlain(item, depth + 1)
  }
}

function unfit(why: string, text: string): CodedError {
  const shown = text === '' ? '' : `: ${JSON.stringify(text.slice(0, 64))}`
  return new CodedError('invalid-argument', `${why}${shown}`)
}

// Sizes of what follows the first byte, from 0xc0 on; undefined: never sent by us, refused.
// [kind, bytes of the length or of the number]
const kinds: readonly (
  | readonly [kind: 'fixed' | 'bin' | 'str' | 'array' | 'map', size: number]
  | undefined
)[] = [
  ['fixed', 0], // c0 nil
  undefined, // c1 never used
  ['fixed', 0], // c2 false
  ['fixed', 0], // c3 true
  ['bin', 1],
  ['bin', 2],
  ['bin', 4],
  undefined, // c7 ext 8: msgpackr would run records and classes from these
  undefined, // c8 ext 16
  undefined, // c9 ext 32
  ['fixed', 4], // ca float 32
  ['fixed', 8], // cb float 64
  ['fixed', 1], // cc uint 8
  ['fixed', 2],
  ['fixed', 4],
  ['fixed', 8], // cf uint 64
  ['fixed', 1], // d0 int 8
  ['fixed', 2],
  ['fixed', 4],
  ['fixed', 8], // d3 int 64
  undefined, // d4 fixext 1
  undefined,
  undefined,
  undefined,
  undefined, // d8 fixext 16
  ['str', 1],
  ['str', 2],
  ['str', 4],
  ['array', 2],
  ['array', 4],
  ['map', 2],
  ['map', 4],
]

/** Walks over one value without building it. Throws bad-request, or returns. */
function inspect(bytes: Uint8Array, limits: DecodeLimits): void {
  const end = bytes.length
  if (end > limits.bytesMax) {
    throw refused(`the message has ${end} bytes, ${limits.bytesMax} are allowed`, 0)
  }
  // One row per open array or map: values still to come, and whether the next is a key.
  const left: number[] = []
  const isMap: boolean[] = []
  let at = 0
  let items = 0
  for (;;) {
    if (at >= end) throw refused('the message is cut off', at)
    items++
    const start = at
    const first = bytes[at++] ?? 0
    const top = left.length - 1
    const isKey = top >= 0 && isMap[top] === true && (left[top] ?? 0) % 2 === 0
    let opened = -1
    let opensMap = false
    let textBytes = -1
    if (first < 0x80 || first >= 0xe0) {
      // A small number.
    } else if (first < 0x90) {
      opened = (first & 0x0f) * 2
      opensMap = true
    } else if (first < 0xa0) {
      opened = first & 0x0f
    } else if (first < 0xc0) {
      textBytes = first & 0x1f
    } else {
      const kind = kinds[first - 0xc0]
      if (kind === undefined) throw refused(`type 0x${first.toString(16)} is not allowed`, start)
      const size = kind[1]
      if (end - at < size) throw refused('the message is cut off', at)
      if (kind[0] === 'fixed') {
        if (first === 0xcf || first === 0xd3) checkSafe(bytes, at, first === 0xd3)
        at += size
      } else {
        const length = readLength(bytes, at, size)
        at += size
        if (kind[0] === 'bin') {
          if (end - at < length) throw refused('the message is cut off', at)
          at += length
        } else if (kind[0] === 'str') textBytes = length
        else {
          opensMap = kind[0] === 'map'
          opened = opensMap ? length * 2 : length
        }
      }
    }
    if (isKey && textBytes < 0) throw refused('a key is not a text', start)
    if (textBytes >= 0) {
      if (end - at < textBytes) throw refused('the message is cut off', at)
      checkText(bytes, at, textBytes)
      if (isKey && isProto(bytes, at, textBytes)) throw refused('key __proto__ is not allowed', at)
      at += textBytes
    }
    if (top >= 0) left[top] = (left[top] ?? 0) - 1
    if (opened > 0) {
      // Each value still to come has at least a byte: a count beyond the bytes left is a lie.
      if (opened > end - at)
        throw refused(`${opened} values are announced, ${end - at} bytes left`, start)
      if (items + opened > limits.itemsMax) {
        throw refused(`more than ${limits.itemsMax} values`, start)
      }
      if (left.length >= limits.depthMax) {
        throw refused(`nested deeper than ${limits.depthMax} levels`, start)
      }
      left.push(opened)
      isMap.push(opensMap)
    }
    while (left.length > 0 && left[left.length - 1] === 0) {
      left.pop()
      isMap.pop()
    }
    if (left.length === 0) break
    if (items > limits.itemsMax) throw refused(`more than ${limits.itemsMax} values`, start)
  }
  if (at !== end) throw refused(`${end - at} bytes follow the value`, at)
}

function readLength(bytes: Uint8Array, at: number, size: number): number {
  let value = 0
  for (let index = 0; index < size; index++) value = value * 256 + (bytes[at + index] ?? 0)
  return value
}

/** A 64-bit whole number must be one that JavaScript holds exactly. */
function checkSafe(bytes: Uint8Array, at: number, isSigned: boolean): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  const value = isSigned ? view.getBigInt64(0) : view.getBigUint64(0)
  if (!Number.isSafeInteger(Number(value))) throw refused('a number is beyond 2^53', at)
}

function checkText(bytes: Uint8Array, at: number, length: number): void {
  if (length < 64) {
    let seen = 0
    for (let index = at; index < at + length; index++) seen |= bytes[index] ?? 0
    if (seen < 0x80) return
  }
  if (!isUtf8(bytes.subarray(at, at + length))) throw refused('a text is not UTF-8', at)
}

const proto = [0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f] as const

function isProto(bytes: Uint8Array, at: number, length: number): boolean {
  return length === proto.length && proto.every((byte, index) => bytes[at + index] === byte)
}

function refused(why: string, offset: number): CodedError {
  return new CodedError('bad-request', `malformed message: ${why} (at byte ${offset})`, {
    detail: { offset },
  })
}

/** The payload with its length before it. */
export function encodeFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + payload.length)
  new DataView(frame.buffer).setUint32(0, payload.length)
  frame.set(payload, frameHeaderBytes)
  return frame
}

/** Cuts a stream of bytes into the payloads of its frames. */
export interface FrameParser {
  /**
   * The payloads that these bytes complete. They may be views of `bytes`: use them, or copy them,
   * before that buffer is written again. Throws too-large for a length over the bound, and then
   * for ever: the stream has lost its place and must be closed.
   */
  readonly push: (bytes: Uint8Array) => Uint8Array[]
  /** Bytes of a frame that is not complete. */
  readonly heldBytes: () => number
}

/** A parser for frames of at most `bytesMax`. It holds at most twice what has really arrived. */
export function createFrameParser(bytesMax: number): FrameParser {
  assert(bytesMax > 0 && bytesMax < 2 ** 32, 'a frame bound is 1 to 2^32 - 1')
  let header = 0
  let headerCount = 0
  let body: Uint8Array | undefined
  let bodyCount = 0
  let failure: CodedError | undefined
  const push = (bytes: Uint8Array): Uint8Array[] => {
    if (failure !== undefined) throw failure
    const done: Uint8Array[] = []
    let at = 0
    for (;;) {
      while (headerCount < frameHeaderBytes && at < bytes.length) {
        header = header * 256 + (bytes[at++] ?? 0)
        headerCount++
      }
      if (headerCount < frameHeaderBytes) return done
      if (header > bytesMax) {
        failure = new CodedError(
          'too-large',
          `a frame announces ${header} bytes, at most ${bytesMax} are allowed`,
        )
        throw failure
      }
      if (body === undefined && bytes.length - at >= header) {
        done.push(bytes.subarray(at, at + header))
        at += header
      } else {
        const take = Math.min(header - bodyCount, bytes.length - at)
        body = grown(body, bodyCount, bodyCount + take, header)
        body.set(bytes.subarray(at, at + take), bodyCount)
        bodyCount += take
        at += take
        if (bodyCount < header) return done
        done.push(body.subarray(0, header))
      }
      header = 0
      headerCount = 0
      body = undefined
      bodyCount = 0
    }
  }
  return { push, heldBytes: () => headerCount + bodyCount }
}

/** A buffer for `needed` of `total` bytes: it doubles, so that an announced length costs nothing. */
function grown(
  body: Uint8Array | undefined,
  used: number,
  needed: number,
  total: number,
): Uint8Array {
  if (body !== undefined && body.length >= needed) return body
  const next = new Uint8Array(Math.min(total, Math.max(needed, used * 2, 4096)))
  if (body !== undefined) next.set(body.subarray(0, used))
  return next
}
