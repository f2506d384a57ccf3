// Frames of the multiplexer: the slips that are put together into one record.
//
//   frame   +---------+---------+----------------+--------------+
//           | type u8 | id u32  | length u16 BE  | length bytes |
//           +---------+---------+----------------+--------------+
//             bit 7: the message goes on in another frame of the same id
//
// Ids: 0 for what belongs to no conversation; odd for those that the dialer began, even for the
// other's. What the frames do is left to mux.ts.

import { assert } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'

/** The types by their number on the wire. Only ever add at the end. */
const frameTypes = [
  'hello', // versions, features, limits; the first frame each way
  'message', // one way: [kind, body]
  'urgent', // the same, whole, between the parts of any other
  'request', // [kind, body, timeoutMs]
  'reply', // body
  'failure', // { code, message, detail } in place of a reply
  'cancel', // the requester waits no more
  'open', // a stream begins: [kind, header]
  'data', // bytes of a stream
  'end', // no more bytes from this side
  'reset', // { code, message }: neither side wants more of this stream
  'credit', // u32: so many more bytes of the stream may come
  'ping',
  'pong',
  'leave', // nothing new from here on; with { code, message }: nothing at all
  'echo', // an urgent message, as what differs from an earlier one
] as const

export type FrameType = (typeof frameTypes)[number]

export interface Frame {
  readonly type: FrameType
  readonly id: number
  /** More frames of this message follow. */
  readonly isPart: boolean
  /** A view of the record. */
  readonly payload: Uint8Array
}

export const frameHeaderBytes = 7
export const framePayloadBytesMax = 65_535
const partBit = 0x80
const numbers: ReadonlyMap<string, number> = new Map(
  frameTypes.map((type, number) => [type, number]),
)

export function encodeFrame(frame: Frame): Uint8Array {
  const { payload } = frame
  assert(payload.length <= framePayloadBytesMax, 'a payload fits into a frame')
  const bytes = new Uint8Array(frameHeaderBytes + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, (numbers.get(frame.type) ?? 0) | (frame.isPart ? partBit : 0))
  view.setUint32(1, frame.id)
  view.setUint16(5, payload.length)
  bytes.set(payload, frameHeaderBytes)
  return bytes
}

/**
 * The frames of one record; one of a type that only a newer agent knows is passed over. Throws
 * bad-request for a record that is not made of whole frames.
 */
export function decodeFrames(record: Uint8Array): readonly Frame[] {
  const frames: Frame[] = []
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  let at = 0
  while (at < record.length) {
    const isWhole = record.length - at >= frameHeaderBytes
    const end = isWhole ? at + frameHeaderBytes + view.getUint16(at + 5) : Number.POSITIVE_INFINITY
    if (end > record.length) {
      throw new CodedError('bad-request', `malformed record: a frame is cut off (at byte ${at})`)
    }
    const first = view.getUint8(at)
    const type = frameTypes[first & ~partBit]
    if (type !== undefined) {
      const payload = record.subarray(at + frameHeaderBytes, end)
      frames.push({ type, id: view.getUint32(at + 1), isPart: (first & partBit) !== 0, payload })
    }
    at = end
  }
  return frames
}
