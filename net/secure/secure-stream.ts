// A secure stream: a TCP socket (or any Duplex) that has been through the handshake and carries
// sealed records since. What comes out is in order, whole, and from whom the proof says; an end that
// was not said is told from one that was.
//
//   dialing/accepting --handshake, at most 5 s--> open --good-bye or cut--> closed
//
// What the records mean is left to net/wire/mux.ts.

import type { Duplex } from 'node:stream'
import { CodedError } from '../../core/base/error.ts'
import {
  checkVerdict,
  createInitiator,
  createResponder,
  encodeVerdict,
  handshakeBytesMax,
  type InitiatorOptions,
  type Outcome,
  type PeerProof,
  type ResponderOptions,
  verdictBytesMax,
} from './handshake.ts'
import type { NoiseResult } from './noise.ts'
import {
  createRecordOpener,
  createRecordSealer,
  createUnitParser,
  encodeUnit,
  unitBytesMax,
} from './records.ts'

/** The part of a clock that deadlines need. */
export interface Timers {
  /** Calls back after that time; returns how to cancel. */
  readonly after: (ms: number, callback: () => void) => () => void
}

/** From the first byte to the verdict. */
export const handshakeTimeoutMs = 5_000
/** How long a closed stream waits for the other's good-bye. */
const lingerMs = 2_000

export interface HandshakeOptions {
  readonly timers: Timers
  readonly timeoutMs?: number
  /** Gives the handshake up. */
  readonly signal?: AbortSignal
}

export interface AcceptOptions extends HandshakeOptions {
  /** Called with the first message in hand: resolves when there is time for the costly rest. */
  readonly admit?: () => Promise<void>
  /** Called with a refusal before it is told; what it returns is waited for: it slows down guesses. */
  readonly refuse?: (error: CodedError) => Promise<void>
}

/**
 * The initiator's handshake over a connected socket. Rejects with CodedError (the other's refusal,
 * timeout, bad-request, unavailable); the socket is then destroyed.
 */
export async function dialSecure(
  socket: Duplex,
  initiator: InitiatorOptions,
  options: HandshakeOptions,
): Promise<SecureStream> {
  return withDeadline(new UnitSocket(socket), options, async (units) => {
    const machine = createInitiator(initiator)
    units.write(encodeUnit(machine.first()))
    const { message, ...outcome } = machine.third(await units.read(handshakeBytesMax[1]))
    units.write(encodeUnit(message))
    const stream = new SecureStream(units, { ...outcome, timers: options.timers })
    checkVerdict(await stream.readFirst(verdictBytesMax))
    return stream
  })
}

/** The responder's handshake; otherwise as dialSecure. */
export async function acceptSecure(
  socket: Duplex,
  responder: ResponderOptions,
  options: AcceptOptions,
): Promise<SecureStream> {
  return withDeadline(new UnitSocket(socket), options, async (units) => {
    const machine = createResponder(responder)
    const first = await units.read(handshakeBytesMax[0])
    await options.admit?.()
    units.write(encodeUnit(machine.second(first)))
    const outcome = machine.finish(await units.read(handshakeBytesMax[2]))
    if ('refusal' in outcome) {
      await options.refuse?.(outcome.refusal)
      const seal = createRecordSealer(outcome.noise.sendKey)
      await units.end(seal(encodeVerdict(outcome.refusal)))
      throw outcome.refusal
    }
    const stream = new SecureStream(units, { ...outcome, timers: options.timers })
    stream.send(encodeVerdict(undefined), () => {})
    return stream
  })
}

async function withDeadline<T>(
  units: UnitSocket,
  options: HandshakeOptions,
  run: (units: UnitSocket) => Promise<T>,
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? handshakeTimeoutMs
  const late = new CodedError('timeout', `no handshake within ${timeoutMs / 1_000} s`)
  const cancel = options.timers.after(timeoutMs, () => units.destroy(late))
  const abort = (): void => units.destroy(new CodedError('unavailable', 'the dial was given up'))
  if (options.signal?.aborted === true) abort()
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    return await run(units)
  } catch (error) {
    units.destroy(error instanceof CodedError ? error : undefined)
    throw error
  } finally {
    cancel()
    options.signal?.removeEventListener('abort', abort)
  }
}

/** What a stream tells its user. */
export interface StreamListener {
  readonly onRecord: (plain: Uint8Array) => void
  /** Once, last. undefined: the other said good-bye, or we closed; else what went wrong. */
  readonly onClose: (error: CodedError | undefined) => void
}

/** An open stream. Its user must listen; until then the socket is not read. */
export class SecureStream {
  readonly peer: PeerProof
  /** The same on both sides, and on no other connection. */
  readonly hash: Uint8Array
  readonly #units: UnitSocket
  readonly #timers: Timers
  readonly #seal: (plain: Uint8Array) => Uint8Array
  readonly #open: (sealed: Uint8Array) => Uint8Array
  #isClosing = false
  #cancelLinger: (() => void) | undefined

  constructor(
    units: UnitSocket,
    options: Outcome & { readonly noise: NoiseResult; readonly timers: Timers },
  ) {
    this.peer = options.peer
    this.hash = options.noise.hash
    this.#units = units
    this.#timers = options.timers
    this.#seal = createRecordSealer(options.noise.sendKey)
    this.#open = createRecordOpener(options.noise.receiveKey)
  }

  /** The first record, while still in the handshake. */
  async readFirst(bytesMax: number): Promise<Uint8Array> {
    return this.#open(await this.#units.read(bytesMax))
  }

  listen(listener: StreamListener): void {
    this.#units.stream({
      onUnit: (sealed) => {
        const plain = this.#open(sealed)
        if (plain.length > 0) listener.onRecord(plain)
        else this.#bid(true)
      },
      onEnd: (error) => {
        this.#cancelLinger?.()
        const wasSaid = this.#isClosing
        listener.onClose(wasSaid ? undefined : (error ?? cut()))
      },
    })
  }

  /** Seals and sends one record. `onSent` is called when the kernel has it, or never. */
  send(plain: Uint8Array, onSent: () => void): void {
    if (this.#isClosing || plain.length === 0) return
    this.#units.write(this.#seal(plain), onSent)
  }

  /** Says good-bye after what was sent. */
  close(): void {
    this.#bid(false)
  }

  /** Ends at once. The other side sees a cut. */
  destroy(error?: CodedError): void {
    this.#units.destroy(error)
  }

  #bid(isAnswer: boolean): void {
    if (!this.#isClosing) {
      this.#isClosing = true
      void this.#units.end(this.#seal(new Uint8Array(0))).catch(() => {})
      this.#cancelLinger = this.#timers.after(lingerMs, () => this.#units.destroy(undefined))
    }
    if (isAnswer) this.#units.finish()
  }
}

function cut(): CodedError {
  return new CodedError(
    'unavailable',
    'the connection was cut: the other side did not say good-bye',
  )
}

interface UnitListener {
  /** May throw CodedError, which ends the socket. */
  readonly onUnit: (unit: Uint8Array) => void
  readonly onEnd: (error: CodedError | undefined) => void
}

/** A Duplex that is read unit by unit: first each on demand, then as they come. */
class UnitSocket {
  readonly #socket: Duplex
  readonly #parser = createUnitParser()
  #waiting: { bytesMax: number; resolve: (unit: Uint8Array) => void; reject: Reject } | undefined
  #listener: UnitListener | undefined
  #error: CodedError | undefined
  #isEnded = false
  #hasTold = false

  constructor(socket: Duplex) {
    this.#socket = socket
    socket.on('data', (bytes: Uint8Array) => this.#received(bytes))
    socket.on('error', (error: Error) => this.#ended(asCoded(error)))
    socket.on('end', () => {
      this.#ended(undefined)
      // Nobody waits for our half any more; what we have said last may still leave.
      if (!socket.writableEnded) socket.destroy()
    })
    socket.on('close', () => this.#ended(undefined))
    socket.pause()
  }

  /** The next unit. One call at a time. Rejects when the socket ends first. */
  read(bytesMax: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#waiting = { bytesMax, resolve, reject }
      this.#deliver()
      if (this.#waiting !== undefined && !this.#isEnded) this.#socket.resume()
    })
  }

  /** From now on all units go to the listener. */
  stream(listener: UnitListener): void {
    this.#listener = listener
    this.#deliver()
    if (!this.#isEnded) this.#socket.resume()
  }

  write(bytes: Uint8Array, onSent: () => void = () => {}): void {
    if (this.#isEnded || this.#socket.writableEnded) return
    this.#socket.write(bytes, (error) => {
      if (!error) onSent()
    })
  }

  /** Sends the last bytes and ends our half. */
  end(bytes: Uint8Array): Promise<void> {
    if (this.#isEnded || this.#socket.writableEnded) return Promise.resolve()
    return new Promise((resolve) => {
      this.#socket.once('close', resolve)
      this.#socket.end(bytes, () => resolve())
    })
  }

  /** Nothing more is expected: closes once what was sent has left. */
  finish(): void {
    if (this.#socket.writableFinished) this.#socket.destroy()
    else this.#socket.once('finish', () => this.#socket.destroy())
    this.#ended(undefined)
  }

  destroy(error: CodedError | undefined): void {
    this.#error ??= error
    this.#socket.destroy()
    this.#ended(undefined)
  }

  #received(bytes: Uint8Array): void {
    if (this.#isEnded) return
    this.#parser.push(bytes)
    this.#deliver()
    if (this.#waiting === undefined && this.#listener === undefined) this.#socket.pause()
  }

  #deliver(): void {
    try {
      for (;;) {
        if (this.#hasTold) return
        const bytesMax = this.#waiting?.bytesMax ?? unitBytesMax
        if (this.#waiting === undefined && this.#listener === undefined) return
        const unit = this.#parser.next(bytesMax)
        if (unit === undefined) break
        const waiting = this.#waiting
        this.#waiting = undefined
        if (waiting !== undefined) waiting.resolve(unit)
        else this.#listener?.onUnit(unit)
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      this.destroy(error)
    }
    if (this.#isEnded) this.#tell()
  }

  #ended(error: CodedError | undefined): void {
    this.#error ??= error
    if (!this.#isEnded) {
      this.#isEnded = true
      this.#deliver()
    }
    this.#tell()
  }

  #tell(): void {
    if (this.#hasTold) return
    if (this.#waiting !== undefined) {
      this.#waiting.reject(this.#error ?? hungUp())
      this.#waiting = undefined
    }
    if (this.#listener === undefined) return
    this.#hasTold = true
    this.#listener.onEnd(this.#error)
  }
}

type Reject = (error: CodedError) => void

function hungUp(): CodedError {
  return new CodedError('unavailable', 'the other side hung up during the handshake')
}

function asCoded(error: Error): CodedError {
  const code = 'code' in error ? String(error.code) : error.message
  return new CodedError('unavailable', `the connection was lost: ${code}`, { cause: error })
}
