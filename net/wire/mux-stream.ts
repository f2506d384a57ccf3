// One stream of a multiplexer: bytes both ways, each way with credit. Credit is how much the other
// side is ready to hold: a window at first, and as much again as the reader has used up. So a reader
// that stops, stops the writer, and nobody's memory grows.
//
//   write -> [unsent] --credit, frames--> peer --> [received] -> read
//                ^                                      |
//                +------------- credit <----------------+
//
//   each way:  open -end-> ended      both ended, or reset by either: closed

import { CodedError } from '../../core/base/error.ts'
import { encodeFrame, type Frame, frameHeaderBytes } from './frames.ts'
import { encodeError } from './messages.ts'

/** What a stream asks of its multiplexer. */
export interface StreamHost {
  /** The stream has something to send. */
  readonly wake: (stream: MuxStream) => void
  /** The stream has credit to give. */
  readonly credit: (stream: MuxStream) => void
  /** A small frame goes out ahead of data. */
  readonly control: (frame: Frame) => void
  /** Both sides are done with it. */
  readonly forget: (stream: MuxStream) => void
}

/** Unsent bytes from which on a writer waits. */
const unsentBytesMax = 64 * 1024
/** Smaller pieces are put together on arrival: a byte must not cost an object. */
const pieceBytes = 4 * 1024
const nothing = new Uint8Array(0)

export interface StreamOptions {
  readonly id: number
  readonly kind: string
  /** What the opener said about it. */
  readonly header: unknown
  /** What we are ready to hold. */
  readonly windowBytes: number
  /** What the peer is ready to hold. */
  readonly creditBytes: number
  readonly host: StreamHost
}

export class MuxStream {
  readonly id: number
  readonly kind: string
  readonly header: unknown
  readonly #host: StreamHost
  readonly #windowBytes: number
  readonly #gone = new AbortController()
  #credit: number
  readonly #unsent: Uint8Array[] = []
  #unsentBytes = 0
  #drained: (() => void)[] = []
  #hasEnded = false
  #hasSentEnd = false
  readonly #received: Uint8Array[] = []
  /** Bytes in use of the last received piece, if that is a buffer of our own with room. */
  #tail: { buffer: Uint8Array; used: number } | undefined
  #receivedBytes = 0
  #owed = 0
  #peerEnded = false
  #reader: (() => void) | undefined
  #failure: CodedError | undefined
  #isClosed = false

  constructor(options: StreamOptions) {
    this.id = options.id
    this.kind = options.kind
    this.header = options.header
    this.#host = options.host
    this.#windowBytes = options.windowBytes
    this.#credit = options.creditBytes
  }

  /** Aborted when the stream is over, with its error as reason if it failed. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }

  /**
   * Sends bytes; they must not be changed until it resolves. Resolves when there is room for more,
   * rejects with the error of a reset. After `end` it is a bug.
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#hasEnded) throw new CodedError('internal', `stream ${this.kind}: write after end`)
    if (bytes.length === 0) return
    this.#unsent.push(bytes)
    this.#unsentBytes += bytes.length
    this.#host.wake(this)
    if (this.#unsentBytes < unsentBytesMax) return
    await new Promise<void>((resolve) => this.#drained.push(resolve))
    if (this.#failure !== undefined) throw this.#failure
  }

  /** No more bytes from us; what was written still goes out. */
  end(): void {
    if (this.#hasEnded || this.#failure !== undefined) return
    this.#hasEnded = true
    this.#host.wake(this)
  }

  /** Drops both directions. The other side's reads and writes fail with this error. */
  reset(
    error: CodedError = new CodedError('unavailable', `stream ${this.kind} was given up`),
  ): void {
    if (this.#isClosed) return
    const payload = encodeError(error)
    this.#host.control({ type: 'reset', id: this.id, isPart: false, payload })
    this.fail(error)
  }

  /** The next bytes; undefined after the peer's end. Rejects with the error of a reset. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#received.length === 0) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#peerEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#reader = resolve
      })
    }
    const bytes = this.#received.length === 1 ? this.#tailless() : this.#received.shift()
    const count = bytes?.length ?? 0
    this.#receivedBytes -= count
    this.#owed += count
    if (this.#owed >= this.#windowBytes / 2 && !this.#peerEnded) this.#host.credit(this)
    return bytes
  }

  /** All that comes, to the end. Leaving the loop early resets the stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (let bytes = await this.read(); bytes !== undefined; bytes = await this.read())
        yield bytes
    } finally {
      if (!this.#peerEnded) this.reset()
    }
  }

  // What follows is for the multiplexer.

  /** True if a frame can be taken. */
  get hasFrame(): boolean {
    if (this.#failure !== undefined || this.#hasSentEnd) return false
    return this.#unsentBytes > 0 ? this.#credit > 0 : this.#hasEnded
  }

  /** The next frame of at most so many bytes. */
  take(roomBytes: number): Uint8Array | undefined {
    if (!this.hasFrame) return undefined
    if (this.#unsentBytes === 0) {
      this.#hasSentEnd = true
      this.#closeIfDone()
      return encodeFrame({ type: 'end', id: this.id, isPart: false, payload: nothing })
    }
    const first = this.#unsent[0] ?? nothing
    const count = Math.min(first.length, this.#credit, roomBytes - frameHeaderBytes)
    const payload = first.subarray(0, count)
    if (count === first.length) this.#unsent.shift()
    else this.#unsent[0] = first.subarray(count)
    this.#credit -= count
    this.#unsentBytes -= count
    if (this.#unsentBytes < unsentBytesMax) this.#wakeWriters()
    return encodeFrame({ type: 'data', id: this.id, isPart: false, payload })
  }

  /** The credit to give now. */
  takeCredit(): number {
    const owed = this.#owed
    this.#owed = 0
    return owed
  }

  /** Throws bad-request if the peer sends more than it has credit for, or after its end. */
  receive(payload: Uint8Array): void {
    if (this.#failure !== undefined) return
    if (this.#peerEnded) throw violated(this, 'sends data after its end')
    if (payload.length === 0) return
    this.#receivedBytes += payload.length
    if (this.#receivedBytes + this.#owed > this.#windowBytes) {
      throw violated(this, `sends more than the ${this.#windowBytes} bytes of its window`)
    }
    this.#keep(payload)
    this.#wakeReader()
  }

  receiveEnd(): void {
    if (this.#peerEnded) throw violated(this, 'ends twice')
    this.#peerEnded = true
    this.#wakeReader()
    this.#closeIfDone()
  }

  receiveCredit(bytes: number): void {
    this.#credit += bytes
    if (this.#credit > 2 ** 40) throw violated(this, 'gives too much credit')
    if (this.hasFrame) this.#host.wake(this)
  }

  /** The peer's reset, or the end of the connection. */
  fail(error: CodedError): void {
    if (this.#isClosed) return
    this.#failure = error
    this.#unsent.length = 0
    this.#unsentBytes = 0
    this.#received.length = 0
    this.#tail = undefined
    this.#wakeWriters()
    this.#wakeReader()
    this.#close(error)
  }

  #closeIfDone(): void {
    if (this.#hasSentEnd && this.#peerEnded) this.#close(undefined)
  }

  #close(error: CodedError | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#host.forget(this)
    this.#gone.abort(error)
  }

  #wakeWriters(): void {
    const waiting = this.#drained
    this.#drained = []
    for (const resolve of waiting) resolve()
  }

  #wakeReader(): void {
    this.#reader?.()
    this.#reader = undefined
  }

  /** Keeps a copy of a small piece, or the view of a large one (its record is hardly larger). */
  #keep(payload: Uint8Array): void {
    if (payload.length >= pieceBytes) {
      this.#tail = undefined
      this.#received.push(payload)
      return
    }
    const tail = this.#tail
    if (tail !== undefined && tail.buffer.length - tail.used >= payload.length) {
      tail.buffer.set(payload, tail.used)
      tail.used += payload.length
      this.#received[this.#received.length - 1] = tail.buffer.subarray(0, tail.used)
      return
    }
    // The first small piece of a row keeps its own size; only a row of them gets a roomy buffer.
    const isRow = tail !== undefined || this.#received.length > 0
    const buffer = new Uint8Array(isRow ? pieceBytes : payload.length)
    buffer.set(payload)
    this.#tail = { buffer, used: payload.length }
    this.#received.push(buffer.subarray(0, payload.length))
  }

  #tailless(): Uint8Array | undefined {
    this.#tail = undefined
    return this.#received.shift()
  }
}

function violated(stream: MuxStream, what: string): CodedError {
  return new CodedError('bad-request', `the peer ${what} (stream ${stream.id}, ${stream.kind})`)
}
