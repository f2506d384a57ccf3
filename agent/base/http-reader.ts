// Reads HTTP/1.1 answers (RFC 9112) from the bytes of a connection as they come, in pieces of any
// size. No socket and no waiting in here: bytes go in, parts come out.
//
//   head --+-- Content-Length: N -----> N bytes ---------------------+--> end
//          +-- Transfer-Encoding: chunked --> size, bytes, size, ... +
//          +-- neither --------> bytes until the connection ends ----+
//          +-- HEAD, 204, 304 ---------------------------------------+
//
// It reads what daemons send to our own commands, and is not for the open internet: no old line
// folding, no other coding than chunked.

import { CodedError } from '../../core/base/error.ts'

/** Status, and headers by their names in small letters; one that comes twice is joined by ", ". */
export interface HttpHead {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
}

export type HttpPart =
  | { readonly type: 'head'; readonly head: HttpHead }
  | { readonly type: 'body'; readonly bytes: Uint8Array }
  | { readonly type: 'end' }

type State =
  | 'head'
  | 'sized'
  | 'untilClose'
  | 'chunkSize'
  | 'chunk'
  | 'chunkEnd'
  | 'trailer'
  | 'end'

/** Go's daemons send 1 MiB at most, those we know less than 1 kB. */
const headBytesMax = 64 * 1024
/** A chunk's size and its extensions, or one line of a trailer. */
const lineBytesMax = 4 * 1024

const statusPattern = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/
const sizePattern = /^([0-9a-f]{1,12})[ \t]*(?:;|$)/i
const lengthPattern = /^\d{1,15}$/

/** One answer to one request. Each method throws damaged-data for bytes that are no HTTP answer. */
export class HttpReader {
  readonly #isHeadOnly: boolean
  #state: State = 'head'
  /** Bytes of an unfinished head or line. */
  #kept: Buffer = Buffer.alloc(0)
  #missingBytes = 0
  #isPersistent = true

  /** For the answer to a request of this method: one to HEAD has no body. */
  constructor(method: string) {
    this.#isHeadOnly = method === 'HEAD'
  }

  /** True when the answer is complete and the connection can carry another one. */
  get isReusable(): boolean {
    return this.#state === 'end' && this.#isPersistent
  }

  /** Takes the next bytes; they may become part of what is returned, uncopied. */
  read(bytes: Uint8Array): readonly HttpPart[] {
    const parts: HttpPart[] = []
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (this.#kept.length > 0) {
      rest = Buffer.concat([this.#kept, rest])
      this.#kept = Buffer.alloc(0)
    }
    for (let next: Buffer | undefined = rest; next !== undefined && next.length > 0; ) {
      next = this.#step(next, parts)
    }
    return parts
  }

  /** The connection has ended: the end of an answer without a length, too early for any other. */
  finish(): readonly HttpPart[] {
    if (this.#state === 'end') return []
    if (this.#state !== 'untilClose') {
      throw new CodedError('damaged-data', 'the connection ended before the answer did')
    }
    this.#state = 'end'
    return [{ type: 'end' }]
  }

  /** Reads one thing from the front; returns what follows it, undefined when more must come. */
  #step(bytes: Buffer, parts: HttpPart[]): Buffer | undefined {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes, parts)
      case 'sized':
      case 'chunk':
        return this.#readSized(bytes, parts)
      case 'untilClose':
        parts.push({ type: 'body', bytes })
        return undefined
      case 'chunkSize':
      case 'chunkEnd':
      case 'trailer':
        return this.#readLine(bytes, parts)
      case 'end':
        throw new CodedError('damaged-data', `${bytes.length} bytes after the end of the answer`)
      default:
        return this.#state satisfies never
    }
  }

  #readHead(bytes: Buffer, parts: HttpPart[]): Buffer | undefined {
    const end = bytes.indexOf('\r\n\r\n')
    if (end < 0 || end > headBytesMax) return this.#keep(bytes, headBytesMax)
    const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
    const status = statusPattern.exec(first)
    if (status === null) {
      throw new CodedError('damaged-data', `not an HTTP answer: ${first.slice(0, 80)}`)
    }
    const head = { status: Number(status[2]), headers: parseHeaders(lines) }
    // 1xx says that the answer is yet to come; 101 does not, but we never ask for an upgrade.
    if (head.status >= 200) {
      parts.push({ type: 'head', head })
      this.#enterBody(head, { isOld: status[1] === '0' })
      if (this.#state === 'end') parts.push({ type: 'end' })
    }
    return bytes.subarray(end + 4)
  }

  #enterBody({ status, headers }: HttpHead, options: { readonly isOld: boolean }): void {
    const connection = (headers['connection'] ?? '').toLowerCase()
    this.#isPersistent = options.isOld ? connection === 'keep-alive' : connection !== 'close'
    const coding = headers['transfer-encoding']
    const length = headers['content-length']
    if (this.#isHeadOnly || status === 204 || status === 304) this.#state = 'end'
    else if (coding?.toLowerCase() === 'chunked') this.#state = 'chunkSize'
    else if (coding !== undefined) {
      throw new CodedError('damaged-data', `an answer in the coding ${coding}`)
    } else if (length !== undefined) {
      if (!lengthPattern.test(length)) {
        throw new CodedError('damaged-data', `an answer of content-length ${length}`)
      }
      this.#missingBytes = Number(length)
      this.#state = this.#missingBytes === 0 ? 'end' : 'sized'
    } else {
      this.#isPersistent = false
      this.#state = 'untilClose'
    }
  }

  #readSized(bytes: Buffer, parts: HttpPart[]): Buffer | undefined {
    const body = bytes.subarray(0, this.#missingBytes)
    this.#missingBytes -= body.length
    parts.push({ type: 'body', bytes: body })
    if (this.#missingBytes > 0) return undefined
    if (this.#state === 'chunk') this.#state = 'chunkEnd'
    else {
      this.#state = 'end'
      parts.push({ type: 'end' })
    }
    return bytes.subarray(body.length)
  }

  #readLine(bytes: Buffer, parts: HttpPart[]): Buffer | undefined {
    const end = bytes.indexOf('\r\n')
    if (end < 0 || end > lineBytesMax) return this.#keep(bytes, lineBytesMax)
    const line = bytes.toString('latin1', 0, end)
    if (this.#state === 'chunkSize') {
      const size = sizePattern.exec(line)?.[1]
      if (size === undefined) {
        throw new CodedError('damaged-data', `a chunk of size ${line.slice(0, 40)}`)
      }
      this.#missingBytes = Number.parseInt(size, 16)
      this.#state = this.#missingBytes === 0 ? 'trailer' : 'chunk'
    } else if (this.#state === 'chunkEnd') {
      if (line !== '') throw new CodedError('damaged-data', 'a chunk is longer than its size says')
      this.#state = 'chunkSize'
    } else if (line === '') {
      this.#state = 'end'
      parts.push({ type: 'end' })
    }
    return bytes.subarray(end + 2)
  }

  #keep(bytes: Buffer, bytesMax: number): undefined {
    if (bytes.length > bytesMax) {
      const what = this.#state === 'head' ? 'head' : 'line'
      throw new CodedError('damaged-data', `a ${what} of the answer is over ${bytesMax} bytes`)
    }
    this.#kept = bytes
  }
}

function parseHeaders(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    const at = line.indexOf(':')
    if (at < 1)
      throw new CodedError('damaged-data', `a header without a name: ${line.slice(0, 80)}`)
    const name = line.slice(0, at).toLowerCase()
    const value = line.slice(at + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return headers
}
