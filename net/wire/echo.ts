// Echoes: urgent messages that say almost what an earlier one on the same connection has said, as
// heartbeats do ten times a second. Both ends remember the last few; instead of the whole message
// goes what differs from one of them.
//
//   echo    slot u8, then runs of   offset u16 BE | length u8 | bytes
//
// An echo takes the place of what it was made from; a whole message takes the oldest place. Both
// ends do the same in the same order, since the connection keeps it: no answer is needed.

import { CodedError } from '../../core/base/error.ts'

/** Two agents use echoes if both name this feature in their hello. */
export const echoFeature = 'echo'

const slotsMax = 8
/** What is longer is not remembered. */
const rememberedBytesMax = 512
const runHeaderBytes = 3
/** Equal bytes between two runs that are cheaper to repeat than to begin anew after. */
const bridgeBytes = 2

/** One end's memory; each direction of a connection has one at either end. */
export class EchoMemory {
  readonly #slots: Uint8Array[] = []
  #next = 0

  /** A whole message has passed. */
  remember(message: Uint8Array): void {
    if (message.length > rememberedBytesMax) return
    // A view would keep its whole record.
    this.#slots[this.#next] = message.slice()
    this.#next = (this.#next + 1) % slotsMax
  }

  /** The message as an echo; undefined if that saves little. Remembers it then. */
  shorten(message: Uint8Array): Uint8Array | undefined {
    let best: { readonly slot: number; readonly bytes: Uint8Array } | undefined
    for (const [slot, said] of this.#slots.entries()) {
      if (said.length !== message.length) continue
      const bytes = encodeEcho(slot, said, message)
      if (best === undefined || bytes.length < best.bytes.length) best = { slot, bytes }
    }
    if (best === undefined || best.bytes.length * 2 > message.length) return undefined
    this.#slots[best.slot] = message.slice()
    return best.bytes
  }

  /** The message that an echo stands for. Throws bad-request for what cannot be one. */
  restore(echo: Uint8Array): Uint8Array {
    const slot = echo[0] ?? slotsMax
    const said = this.#slots[slot]
    if (said === undefined) throw malformed(`names slot ${slot}, where nothing was said`)
    const message = said.slice()
    const view = new DataView(echo.buffer, echo.byteOffset, echo.length)
    for (let at = 1; at < echo.length; ) {
      if (echo.length - at < runHeaderBytes) throw malformed('ends within a run')
      const [offset, length] = [view.getUint16(at), view.getUint8(at + 2)]
      at += runHeaderBytes
      if (echo.length - at < length) throw malformed('ends within a run')
      if (offset + length > message.length) throw malformed('reaches beyond what was said')
      message.set(echo.subarray(at, at + length), offset)
      at += length
    }
    this.#slots[slot] = message
    // The next echo is laid over the same bytes: who reads this one must not keep them.
    return message.slice()
  }
}

function encodeEcho(slot: number, said: Uint8Array, message: Uint8Array): Uint8Array {
  const bytes = [slot]
  for (let at = 0; at < message.length; ) {
    if (said[at] === message[at]) {
      at++
      continue
    }
    let end = at + 1
    for (let equal = 0; end + equal < message.length && end - at < 200; ) {
      if (said[end + equal] !== message[end + equal]) {
        end += equal + 1
        equal = 0
      } else if (++equal > bridgeBytes) break
    }
    bytes.push(at >> 8, at & 0xff, end - at, ...message.subarray(at, end))
    at = end
  }
  return Uint8Array.from(bytes)
}

function malformed(why: string): CodedError {
  return new CodedError('bad-request', `malformed echo: it ${why}`)
}
