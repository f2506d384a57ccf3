// The multiplexer: many conversations over one secure stream. One-way messages, requests with
// replies, and streams of bytes, all cut into frames and put together into records of 16 KiB. A
// record is built only when the one before it has left, and each takes first what is urgent, then
// messages, then a turn of the streams: like a ferry that goes all the time, with ambulances first
// aboard and a quarter of the deck kept for lorries. So a bulk stream delays a heartbeat by one
// record at most.
//
//   urgent    credit, pong, reset, cancel, urgent messages
//   messages  one-way (in order) | small requests, replies | large ones, one after the other
//   streams   one frame each in turn, as far as their credit goes
//
// Who may say what is left to peers.ts. The connection is a RecordLink, so that this file knows
// neither sockets nor keys.

import { assert } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'
import { decode, decodeLimits, encode } from './codec.ts'
import { EchoMemory, echoFeature } from './echo.ts'
import {
  decodeFrames,
  encodeFrame,
  type Frame,
  type FrameType,
  frameHeaderBytes,
} from './frames.ts'
import {
  type Agreement,
  agree,
  decodeEnvelope,
  decodeError,
  decodeHello,
  encodeEnvelope,
  encodeError,
  encodeHello,
  type Hello,
} from './messages.ts'
import { MuxStream } from './mux-stream.ts'
import { createOutbox, type Outbox, type SendOptions } from './outbox.ts'

/** What carries records in order, whole and sealed. */
export interface RecordLink {
  /** `onSent` is called later, when the record has left, or never. */
  readonly send: (record: Uint8Array, onSent: () => void) => void
  readonly listen: (listener: {
    readonly onRecord: (record: Uint8Array) => void
    readonly onClose: (error: CodedError | undefined) => void
  }) => void
  /** Says good-bye after what was sent. */
  readonly close: () => void
  readonly destroy: (error?: CodedError) => void
}

/** The part of a clock that deadlines need. */
export interface MuxTimers {
  readonly after: (ms: number, callback: () => void) => () => void
}

/** What happens on the other side, and with the connection. */
export interface MuxHandlers {
  /** The peer's hello has come and a version is agreed; before anything else that it says. */
  readonly onOpen: (agreement: Agreement) => void
  /** A one-way message. A CodedError is left to the handler's own log. */
  readonly onMessage: (kind: string, body: unknown) => void
  /** Its value is the reply; a CodedError travels to the requester. */
  readonly onRequest: (kind: string, body: unknown, signal: AbortSignal) => Promise<unknown>
  readonly onStream: (stream: MuxStream) => void
  /** The peer asks for no new requests here; the connection goes on until it closes. */
  readonly onLeave: () => void
  /** Once, last. undefined: closed in good order. */
  readonly onClose: (error: CodedError | undefined) => void
  /** A bug in a handler: an error that is no CodedError. The requester was told `internal`. */
  readonly onFault: (error: unknown) => void
}

export interface MuxOptions {
  readonly link: RecordLink
  /** The dialer's conversations have odd ids. */
  readonly isDialer: boolean
  readonly hello: Hello
  readonly timers: MuxTimers
  readonly handlers: MuxHandlers
}

/** What a record holds at most: 64 ms at 2 Mbit/s. */
export const recordTargetBytes = 16 * 1024
/** What messages leave of a record when streams wait. */
const streamShareBytes = recordTargetBytes / 4
/** Less room than this is not worth a frame. */
const roomBytesMin = 64
/** Messages in parts at once: the one-way one, a large request and a large reply, cancelled ones. */
const partsMax = 8
/** Small frames that wait because the peer does not read. */
const controlFramesMax = 8_192
const closeGraceMs = 5_000
/** A deadline of a request is at most a day. */
const timeoutMsMax = 86_400_000
const nothing = new Uint8Array(0)

/** Limits of a connection between members. Strangers get less: see guestLimits. */
export const muxLimits = {
  /** Open requests of the peer. */
  requestsMax: 1_024,
  /** Open streams of the peer. */
  streamsMax: 1_024,
  /** What one stream may have on its way: a little over 2 MB/s at 100 ms. */
  streamWindowBytes: 256 * 1024,
  /** A message in all its parts; as large as the largest entry of the log, twice. */
  messageBytesMax: 8 * 1024 * 1024,
} as const

/** For one who has only a token: a few small requests. */
export const guestLimits = {
  requestsMax: 4,
  streamsMax: 0,
  streamWindowBytes: 1,
  messageBytesMax: 64 * 1024,
} as const

interface Pending {
  readonly kind: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: CodedError) => void
  readonly release: () => void
}

interface Letter {
  readonly type: FrameType
  readonly id: number
  readonly bytes: Uint8Array
  /** What of it has left. */
  sentBytes: number
}

export class Mux {
  readonly #link: RecordLink
  readonly #options: MuxOptions
  #outbox: Outbox = createOutbox()
  readonly #control: Frame[] = []
  readonly #creditors = new Set<MuxStream>()
  /** The one-way message in hand, small letters, large letters. */
  #message: Letter | undefined
  readonly #small: Letter[] = []
  readonly #large: Letter[] = []
  #turn = 0
  readonly #ready = new Set<MuxStream>()
  readonly #streams = new Map<number, MuxStream>()
  readonly #outbound = new Map<number, Pending>()
  readonly #inbound = new Map<number, AbortController>()
  readonly #parts = new Map<number, { readonly pieces: Uint8Array[]; bytes: number }>()
  readonly #pings: { resolve: () => void; reject: (error: CodedError) => void }[] = []
  /** Urgent messages that have left, and that have come, for echoes of them. */
  readonly #said = new EchoMemory()
  readonly #heard = new EchoMemory()
  #inboundStreams = 0
  #outboundStreams = 0
  #nextId: number
  #agreement: Agreement | undefined
  #isSending = false
  #isLeaving = false
  #peerLeaves = false
  #closed: { readonly error: CodedError | undefined } | undefined
  #recordsReceived = 0
  readonly #opened = Promise.withResolvers<Agreement>()
  readonly #ended = Promise.withResolvers<void>()

  constructor(options: MuxOptions) {
    this.#options = options
    this.#link = options.link
    this.#nextId = options.isDialer ? 1 : 2
    this.#opened.promise.catch(() => {})
    this.carry(this.#outbox)
    this.#push('hello', 0, encodeHello(options.hello))
  }

  /**
   * Begins to hear the peer; handlers may be called before this returns, for records that have come
   * already.
   */
  start(): void {
    this.#link.listen({
      onRecord: (record) => this.#received(record),
      onClose: (error) => this.#finish(error),
    })
  }

  /**
   * Takes over an outbox with the one-way messages to this peer. It outlives the connection: what
   * has not left when the next one takes it over goes there. Before the first call `send` has an
   * outbox of its own.
   */
  carry(outbox: Outbox): void {
    this.#outbox = outbox
    outbox.wake = () => {
      if (this.#outbox === outbox) this.#pump()
    }
    this.#pump()
  }

  /** Lets go of the outbox, for another connection to take over. */
  uncarry(): void {
    this.#outbox = createOutbox()
  }

  /** Resolves when the peer's hello has come and a version is agreed; rejects if that fails. */
  opened(): Promise<Agreement> {
    return this.#opened.promise
  }

  /** What was agreed on; undefined until the peer's hello has come. */
  get agreement(): Agreement | undefined {
    return this.#agreement
  }

  /** Grows with each record that comes: the peer lives. */
  recordsReceived(): number {
    return this.#recordsReceived
  }

  /** Neither side is leaving, and it is not closed. */
  get isUsable(): boolean {
    return !this.#isLeaving && !this.#peerLeaves && this.#closed === undefined
  }

  /** Why it is closed; undefined while it is open. */
  get loss(): CodedError | undefined {
    return this.#closed === undefined ? undefined : this.#lost()
  }

  /** Open requests and streams of both sides. */
  openCount(): number {
    return this.#outbound.size + this.#inbound.size + this.#streams.size
  }

  /** Sends a one-way message, or drops it under the rules of the outbox. */
  send(kind: string, body: unknown, options: SendOptions = {}): void {
    this.#outbox.push(kind, body, options)
  }

  /**
   * Asks, and waits for the reply. Rejects with the peer's CodedError, `timeout` after timeoutMs,
   * `unavailable` when the connection ends first (it may have been done or not), or at once when
   * it is leaving, `resource-exhausted` at once when too many are open.
   */
  request(
    kind: string,
    body: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    const { timeoutMs, signal } = options
    assert(timeoutMs > 0 && timeoutMs <= timeoutMsMax, 'a request has a deadline within a day')
    return new Promise((resolve, reject) => {
      this.#checkUsable()
      if (signal?.aborted === true) throw givenUp(kind)
      if (this.#outbound.size >= this.#peersLimit('requestsMax')) {
        throw exhausted('requests', this.#outbound.size)
      }
      const bytes = this.#fit(kind, encodeEnvelope(kind, body, Math.ceil(timeoutMs)))
      const id = this.#takeId()
      const late = new CodedError('timeout', `no answer to ${kind} within ${timeoutMs / 1_000} s`)
      const cancelTimer = this.#options.timers.after(timeoutMs, () => this.#giveUp(id, late))
      const abort = (): void => this.#giveUp(id, givenUp(kind))
      signal?.addEventListener('abort', abort, { once: true })
      const release = (): void => {
        cancelTimer()
        signal?.removeEventListener('abort', abort)
      }
      this.#outbound.set(id, { kind, resolve, reject, release })
      this.#post('request', id, bytes)
    })
  }

  /**
   * Opens a stream; what the peer thinks of it shows in reads and writes. Throws unavailable or
   * resource-exhausted as `request` does.
   */
  openStream(kind: string, header: unknown): MuxStream {
    this.#checkUsable()
    if (this.#outboundStreams >= this.#peersLimit('streamsMax')) {
      throw exhausted('streams', this.#outboundStreams)
    }
    const payload = encodeEnvelope(kind, header)
    if (payload.length > recordTargetBytes / 4) {
      throw new CodedError('too-large', `the header of stream ${kind} has ${payload.length} bytes`)
    }
    const id = this.#takeId()
    this.#outboundStreams++
    const stream = this.#makeStream(id, kind, header)
    this.#push('open', id, payload)
    return stream
  }

  /** Resolves with the answer; rejects when the connection ends first. */
  ping(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw this.#lost()
      this.#pings.push({ resolve, reject })
      this.#push('ping', 0, nothing)
    })
  }

  /**
   * Leaves in good order: nothing new from either side; what was begun, also what is still on its
   * way here, may end within graceMs. Resolves when closed.
   */
  close(graceMs: number = closeGraceMs): Promise<void> {
    if (this.#isLeaving || this.#closed !== undefined) return this.#ended.promise
    this.#isLeaving = true
    this.#push('leave', 0, nothing)
    const cancel = this.#options.timers.after(graceMs, () => this.#link.close())
    this.#ended.promise.then(cancel)
    this.#closeIfIdle()
    return this.#ended.promise
  }

  /** Ends at once, telling the peer why if there is a reason. */
  destroy(error?: CodedError): void {
    if (this.#closed !== undefined) return
    if (error !== undefined) {
      // One last record, ahead of all that waits.
      this.#link.send(encodeFrame(frame('leave', 0, encodeError(error))), () => {})
      this.#finish(error)
      this.#link.close()
    } else {
      this.#finish(undefined)
      this.#link.destroy()
    }
  }

  // Sending

  #push(type: FrameType, id: number, payload: Uint8Array): void {
    if (this.#closed !== undefined) return
    this.#control.push(frame(type, id, payload))
    if (this.#control.length > controlFramesMax) {
      this.destroy(new CodedError('resource-exhausted', 'the peer asks and does not read'))
      return
    }
    this.#pump()
  }

  #post(type: FrameType, id: number, bytes: Uint8Array): void {
    if (this.#closed !== undefined) return
    const isSmall = bytes.length + frameHeaderBytes <= recordTargetBytes / 4
    ;(isSmall ? this.#small : this.#large).push({ type, id, bytes, sentBytes: 0 })
    this.#pump()
  }

  #pump(): void {
    if (this.#isSending || this.#closed !== undefined) return
    const record = this.#nextRecord()
    if (record === undefined) {
      this.#closeIfIdle()
      return
    }
    this.#isSending = true
    this.#link.send(record, () => {
      this.#isSending = false
      this.#pump()
    })
  }

  #nextRecord(): Uint8Array | undefined {
    const frames: Uint8Array[] = []
    let room = recordTargetBytes
    const add = (bytes: Uint8Array | undefined): boolean => {
      if (bytes === undefined) return false
      frames.push(bytes)
      room -= bytes.length
      return true
    }
    while (this.#control.length > 0 && room >= this.#controlBytes()) {
      const next = this.#control.shift()
      add(next === undefined ? undefined : encodeFrame(next))
    }
    // Until the peer's hello nothing else is sent: it might be of no use.
    if (this.#agreement !== undefined) {
      for (const stream of this.#creditors) {
        if (room < roomBytesMin) break
        this.#creditors.delete(stream)
        add(encodeFrame(frame('credit', stream.id, encodeCount(stream.takeCredit()))))
      }
      while (room >= roomBytesMin && add(this.#takeUrgent(room)));
      const share = this.#ready.size > 0 ? streamShareBytes : 0
      while (room - share >= roomBytesMin && add(this.#takeMessage(room - share)));
      while (room >= roomBytesMin && add(this.#takeData(room)));
    }
    return frames.length === 0 ? undefined : concat(frames, recordTargetBytes - room)
  }

  #controlBytes(): number {
    return frameHeaderBytes + (this.#control[0]?.payload.length ?? 0)
  }

  #takeUrgent(room: number): Uint8Array | undefined {
    // An urgent message is at most 4 KiB; one that does not fit any more leads the next record.
    if (room < recordTargetBytes / 4 + frameHeaderBytes) return undefined
    const bytes = this.#outbox.take(true)
    if (bytes === undefined) return undefined
    const isKnown = this.#agreement?.features.has(echoFeature) === true
    const echo = isKnown ? this.#said.shorten(bytes) : undefined
    if (echo !== undefined) return encodeFrame(frame('echo', 0, echo))
    this.#said.remember(bytes)
    return encodeFrame(frame('urgent', 0, bytes))
  }

  /** A frame of one of the three rows of messages, in turn. */
  #takeMessage(room: number): Uint8Array | undefined {
    for (let tries = 0; tries < 3; tries++) {
      const row = this.#turn++ % 3
      if (row === 0) this.#message ??= this.#nextOneWay()
      const letter = row === 0 ? this.#message : row === 1 ? this.#small[0] : this.#large[0]
      if (letter === undefined) continue
      const bytes = takePart(letter, room)
      if (letter.sentBytes === letter.bytes.length) {
        if (row === 0) this.#message = undefined
        else (row === 1 ? this.#small : this.#large).shift()
      }
      return bytes
    }
    return undefined
  }

  #nextOneWay(): Letter | undefined {
    const bytes = this.#outbox.take(false)
    return bytes === undefined ? undefined : { type: 'message', id: 0, bytes, sentBytes: 0 }
  }

  #takeData(room: number): Uint8Array | undefined {
    for (const stream of this.#ready) {
      this.#ready.delete(stream)
      const bytes = stream.take(room)
      // Back to the end of the row.
      if (stream.hasFrame) this.#ready.add(stream)
      if (bytes !== undefined) return bytes
    }
    return undefined
  }

  // Receiving

  #received(record: Uint8Array): void {
    this.#recordsReceived++
    try {
      for (const frame of decodeFrames(record)) {
        if (this.#closed !== undefined) return
        this.#handle(frame)
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      this.destroy(error)
    }
  }

  #handle(frame: Frame): void {
    if (this.#agreement === undefined && frame.type !== 'hello' && frame.type !== 'leave') {
      throw new CodedError('bad-request', `the peer sends ${frame.type} before its hello`)
    }
    this.#table[frame.type](frame)
  }

  readonly #table: Readonly<Record<FrameType, (frame: Frame) => void>> = {
    hello: ({ payload }) => {
      if (this.#agreement !== undefined) throw broken('says hello twice')
      this.#agreement = agree(this.#options.hello, decodeHello(payload))
      this.#opened.resolve(this.#agreement)
      this.#options.handlers.onOpen(this.#agreement)
      this.#pump()
    },
    message: (frame) => {
      const bytes = this.#whole(frame)
      if (bytes === undefined) return
      const { kind, body } = decodeEnvelope(bytes, decodeLimits)
      this.#options.handlers.onMessage(kind, body)
    },
    urgent: ({ payload }) => {
      this.#heard.remember(payload)
      const { kind, body } = decodeEnvelope(payload, decodeLimits)
      this.#options.handlers.onMessage(kind, body)
    },
    echo: ({ payload }) => {
      const { kind, body } = decodeEnvelope(this.#heard.restore(payload), decodeLimits)
      this.#options.handlers.onMessage(kind, body)
    },
    request: (frame) => {
      this.#checkPeersId(frame)
      const bytes = this.#whole(frame)
      if (bytes !== undefined) this.#serve(frame.id, bytes)
    },
    reply: (frame) => {
      if (!this.#outbound.has(frame.id)) return
      const bytes = this.#whole(frame)
      if (bytes !== undefined) this.#settle(frame.id)?.resolve(decode(bytes))
    },
    failure: ({ id, payload }) => {
      this.#parts.delete(id)
      this.#settle(id)?.reject(decodeError(payload))
    },
    cancel: ({ id }) => {
      this.#parts.delete(id)
      this.#withdraw(id)
      this.#inbound.get(id)?.abort(givenUp('the peer'))
      this.#inbound.delete(id)
      this.#closeIfIdle()
    },
    open: (frame) => {
      this.#checkPeersId(frame)
      this.#accept(frame)
    },
    data: ({ id, payload }) => this.#streams.get(id)?.receive(payload),
    end: ({ id }) => this.#streams.get(id)?.receiveEnd(),
    reset: ({ id, payload }) => this.#streams.get(id)?.fail(decodeError(payload)),
    credit: ({ id, payload }) => {
      if (payload.length !== 4) throw broken('sends a credit that is no number')
      const bytes = new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0)
      this.#streams.get(id)?.receiveCredit(bytes)
    },
    ping: () => {
      // One answer says it for all that wait to be said.
      if (!this.#control.some(({ type }) => type === 'pong')) this.#push('pong', 0, nothing)
    },
    pong: () => {
      for (const { resolve } of this.#pings.splice(0)) resolve()
    },
    leave: ({ payload }) => {
      if (payload.length > 0) {
        this.#finish(decodeError(payload))
        this.#link.close()
        return
      }
      if (this.#peerLeaves) return
      this.#peerLeaves = true
      // Our answer says that nothing new of ours is on the way any more.
      if (!this.#isLeaving) {
        this.#push('leave', 0, nothing)
        this.#options.handlers.onLeave()
      }
      this.#closeIfIdle()
    },
  }

  /** The message when its last part is here. Throws too-large, and before that keeps no more. */
  #whole({ id, isPart, payload }: Frame): Uint8Array | undefined {
    const held = this.#parts.get(id)
    const bytes = (held?.bytes ?? 0) + payload.length
    const bytesMax = this.#options.hello.messageBytesMax
    if (bytes > bytesMax) throw broken(`sends a message of more than ${bytesMax} bytes`)
    if (held === undefined && !isPart) return payload
    if (held === undefined && this.#parts.size >= partsMax) throw broken('sends too many parts')
    // A part as small as its header would cost more than it holds.
    if (isPart && payload.length < roomBytesMin / 2) throw broken('sends parts that are too small')
    const kept = held ?? { pieces: [], bytes: 0 }
    // A view would keep its whole record.
    kept.pieces.push(payload.length < recordTargetBytes / 4 ? payload.slice() : payload)
    kept.bytes = bytes
    this.#parts.set(id, kept)
    if (isPart) return undefined
    this.#parts.delete(id)
    return concat(kept.pieces, bytes)
  }

  #checkPeersId({ id, type }: Frame): void {
    const isTheirs = id !== 0 && (id % 2 === 1) !== this.#options.isDialer
    if (!isTheirs) throw broken(`begins a ${type} with id ${id}, which is not one of its own`)
    if (this.#inbound.has(id) || this.#streams.has(id)) throw broken(`uses id ${id} twice`)
  }

  #serve(id: number, bytes: Uint8Array): void {
    const { kind, body, timeoutMs } = decodeEnvelope(bytes, decodeLimits)
    const { requestsMax } = this.#options.hello
    // Replies that wait to leave count: who asks and does not read gets no more of them.
    const waiting = this.#small.length + this.#large.length
    if (this.#inbound.size + waiting >= requestsMax * 2) throw broken('asks too much at once')
    if (this.#inbound.size >= requestsMax) {
      this.#post('failure', id, encodeError(exhausted('requests', requestsMax)))
      return
    }
    const controller = new AbortController()
    this.#inbound.set(id, controller)
    // The requester cancels when its time is up; this is for one whose cancel is lost with it.
    const ms = timeoutMs === 0 ? timeoutMsMax : Math.min(timeoutMs, timeoutMsMax)
    const cancelTimer = this.#options.timers.after(ms, () => controller.abort(givenUp(kind)))
    void this.#answer({ id, kind, body, signal: controller.signal }).finally(() => {
      cancelTimer()
      if (this.#inbound.get(id) === controller) this.#inbound.delete(id)
      this.#closeIfIdle()
    })
  }

  async #answer(request: {
    readonly id: number
    readonly kind: string
    readonly body: unknown
    readonly signal: AbortSignal
  }): Promise<void> {
    const { id, kind, body, signal } = request
    const { handlers } = this.#options
    const isWanted = (): boolean => !signal.aborted && this.#inbound.has(id)
    try {
      const value = await handlers.onRequest(kind, body, signal)
      if (!isWanted()) return
      this.#post('reply', id, this.#fit(kind, encode(value ?? null)))
    } catch (error) {
      const coded = error instanceof CodedError
      if (!coded) handlers.onFault(error)
      if (!isWanted()) return
      const told = coded ? error : new CodedError('internal', `${kind} failed there: a bug`)
      this.#post('failure', id, encodeError(told))
    }
  }

  #accept({ id, payload }: Frame): void {
    const { kind, body } = decodeEnvelope(payload, decodeLimits)
    const refuse = (error: CodedError): void => this.#push('reset', id, encodeError(error))
    const { streamsMax } = this.#options.hello
    if (this.#inboundStreams >= streamsMax) refuse(exhausted('streams', streamsMax))
    else {
      this.#inboundStreams++
      this.#options.handlers.onStream(this.#makeStream(id, kind, body))
    }
  }

  #makeStream(id: number, kind: string, header: unknown): MuxStream {
    const host = {
      wake: (stream: MuxStream) => {
        if (!stream.hasFrame) return
        this.#ready.add(stream)
        this.#pump()
      },
      credit: (stream: MuxStream) => {
        this.#creditors.add(stream)
        this.#pump()
      },
      control: (frame: Frame) => this.#push(frame.type, frame.id, frame.payload),
      forget: (stream: MuxStream) => this.#forget(stream),
    }
    const windowBytes = this.#options.hello.streamWindowBytes
    const creditBytes = this.#peersLimit('streamWindowBytes')
    const stream = new MuxStream({ id, kind, header, windowBytes, creditBytes, host })
    this.#streams.set(id, stream)
    return stream
  }

  #forget(stream: MuxStream): void {
    if (!this.#streams.delete(stream.id)) return
    this.#ready.delete(stream)
    this.#creditors.delete(stream)
    if ((stream.id % 2 === 1) === this.#options.isDialer) this.#outboundStreams--
    else this.#inboundStreams--
    this.#closeIfIdle()
  }

  // Requests of ours

  #giveUp(id: number, error: CodedError): void {
    const pending = this.#settle(id)
    if (pending === undefined) return
    const hasLeft = !this.#withdraw(id)
    this.#parts.delete(id)
    if (hasLeft) this.#push('cancel', id, nothing)
    pending.reject(error)
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#outbound.get(id)
    this.#outbound.delete(id)
    pending?.release()
    if (pending !== undefined) queueMicrotask(() => this.#closeIfIdle())
    return pending
  }

  /** Takes back what has not left. True if none of it has. */
  #withdraw(id: number): boolean {
    for (const row of [this.#small, this.#large]) {
      const at = row.findIndex((letter) => letter.id === id)
      const [letter] = at < 0 ? [] : row.splice(at, 1)
      if (letter !== undefined) return letter.sentBytes === 0
    }
    return false
  }

  #takeId(): number {
    for (;;) {
      const id = this.#nextId
      this.#nextId = id + 2 > 0xffff_ffff ? (this.#options.isDialer ? 1 : 2) : id + 2
      if (!this.#outbound.has(id) && !this.#streams.has(id)) return id
    }
  }

  /** The peer's bound, or our own while its hello is on the way: it has the same program. */
  #peersLimit(
    name: 'requestsMax' | 'streamsMax' | 'streamWindowBytes' | 'messageBytesMax',
  ): number {
    const peer = this.#agreement?.peer
    return peer === undefined ? this.#options.hello[name] : peer[name]
  }

  #fit(kind: string, bytes: Uint8Array): Uint8Array {
    const bytesMax = this.#peersLimit('messageBytesMax')
    if (bytes.length <= bytesMax) return bytes
    throw new CodedError(
      'too-large',
      `message ${kind} has ${bytes.length} bytes, the peer takes at most ${bytesMax}`,
    )
  }

  #checkUsable(): void {
    if (this.#closed !== undefined) throw this.#lost()
    if (this.#isLeaving) throw new CodedError('unavailable', 'this side is closing the connection')
    if (this.#peerLeaves) throw new CodedError('unavailable', 'the peer is closing the connection')
  }

  // The end

  #closeIfIdle(): void {
    if (!this.#isLeaving || !this.#peerLeaves || this.#isSending) return
    if (this.#closed !== undefined) return
    if (this.openCount() > 0 || this.#control.length > 0) return
    if (this.#small.length > 0 || this.#large.length > 0 || this.#message !== undefined) return
    this.#link.close()
  }

  #lost(): CodedError {
    const error = this.#closed?.error
    return new CodedError('unavailable', error?.message ?? 'the connection was closed', {
      cause: error,
    })
  }

  #finish(error: CodedError | undefined): void {
    if (this.#closed !== undefined) return
    this.#closed = { error }
    const lost = this.#lost()
    this.#opened.reject(error ?? lost)
    for (const id of [...this.#outbound.keys()]) this.#settle(id)?.reject(lost)
    for (const { reject } of this.#pings.splice(0)) reject(lost)
    for (const stream of [...this.#streams.values()]) stream.fail(lost)
    for (const controller of this.#inbound.values()) controller.abort(lost)
    this.#inbound.clear()
    this.#parts.clear()
    this.#control.length = 0
    this.#small.length = 0
    this.#large.length = 0
    this.#message = undefined
    this.#ended.resolve()
    this.#options.handlers.onClose(error)
  }
}

function frame(type: FrameType, id: number, payload: Uint8Array): Frame {
  return { type, id, isPart: false, payload }
}

/** The next part of a letter, with what fits into the room. */
function takePart(letter: Letter, room: number): Uint8Array {
  const { type, id, bytes } = letter
  const end = Math.min(bytes.length, letter.sentBytes + room - frameHeaderBytes)
  const payload = bytes.subarray(letter.sentBytes, end)
  letter.sentBytes = end
  return encodeFrame({ type, id, isPart: end < bytes.length, payload })
}

function encodeCount(count: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, count)
  return bytes
}

function concat(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1 && parts[0] !== undefined) return parts[0]
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function givenUp(kind: string): CodedError {
  return new CodedError('unavailable', `${kind} was given up`)
}

function exhausted(what: string, count: number): CodedError {
  return new CodedError('resource-exhausted', `${count} ${what} are open, which is the limit`)
}

function broken(what: string): CodedError {
  return new CodedError('bad-request', `the peer ${what}`)
}
