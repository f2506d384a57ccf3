// A client that costs little, for measuring a server on the same machine: it writes requests as
// bytes and looks in the answers for nothing but their status and length. node:http's client
// takes as long for a request as the server does, so it would measure itself.

import { connect, type Socket } from 'node:net'

/** One connection; one request at a time. */
export class LeanClient {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined

  constructor(path: string) {
    this.#socket = connect(path)
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#socket.on('error', (error) => this.#waiting?.reject(error))
    this.#socket.on('close', () => this.#waiting?.reject(new Error(`${path} hung up`)))
  }

  /** Resolves when the answer is complete; throws unless it is a success. */
  post(path: string, body: string): Promise<void> {
    const head = `POST ${path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n`
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headBytes = this.#received.indexOf('\r\n\r\n') + 4
    if (headBytes < 4) return
    const head = this.#received.toString('latin1', 0, headBytes)
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
    if (length === undefined) {
      this.#waiting?.reject(new Error(`an answer without a length: ${head}`))
      return
    }
    if (this.#received.length < headBytes + Number(length)) return
    const answer = this.#received.toString('utf8', headBytes)
    this.#received = Buffer.alloc(0)
    const waiting = this.#waiting
    this.#waiting = undefined
    if (/^HTTP\/1\.1 2\d\d /.test(head)) waiting?.resolve()
    else waiting?.reject(new Error(`${head.split('\r\n')[0]}: ${answer}`))
  }
}
