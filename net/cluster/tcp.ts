// TCP as the cluster uses it: dialing with a deadline, and how sockets between nodes are set.

import { connect, type Socket } from 'node:net'
import { CodedError } from '../../core/base/error.ts'
import { setTcpOptions } from '../linux/socket.ts'
import type { Timers } from '../secure/secure-stream.ts'

/** Where a node listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** "host:port", with brackets around IPv6. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** For the TCP handshake alone. */
const connectTimeoutMs = 3_000
const keepAliveMs = 10_000
/** As long as peers wait for a sign of life. */
const userTimeoutMs = 12_000
/** What waits in the kernel cannot be overtaken by a heartbeat: on a thin line it must be little. */
const unsentBytesMax = 64 * 1024

/**
 * A connected socket, set for our use. Rejects with unavailable (the address and the reason in the
 * text) or timeout.
 */
export function dial(
  address: Address,
  options: { readonly timers: Timers; readonly signal?: AbortSignal | undefined },
): Promise<Socket> {
  const { timers, signal } = options
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.host, port: address.port })
    const fail = (error: CodedError): void => {
      socket.destroy()
      settle(() => reject(error))
    }
    const abort = (): void => fail(refused(address, 'given up'))
    const cancel = timers.after(connectTimeoutMs, () => {
      const text = `${formatAddress(address)} does not answer within ${connectTimeoutMs / 1_000} s`
      fail(new CodedError('timeout', text))
    })
    const settle = (run: () => void): void => {
      cancel()
      signal?.removeEventListener('abort', abort)
      socket.removeAllListeners('connect')
      socket.removeAllListeners('error')
      // An error between here and the next listener belongs to a socket that nobody waits for.
      socket.on('error', () => {})
      run()
    }
    socket.once('error', (error: NodeJS.ErrnoException) =>
      fail(refused(address, error.code ?? error.message)),
    )
    socket.once('connect', () => {
      tune(socket)
      settle(() => resolve(socket))
    })
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort, { once: true })
  })
}

/** Small messages leave at once; a peer that is gone is noticed by the kernel too. */
export function tune(socket: Socket): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, keepAliveMs)
  const fd = descriptorOf(socket)
  if (fd === undefined) return
  try {
    setTcpOptions(fd, { userTimeoutMs, unsentBytesMax })
  } catch (error) {
    // Another kernel, or a socket that has just ended: it works without.
    if (!(error instanceof CodedError)) throw error
  }
}

/** Node keeps it to itself. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as { _handle?: { readonly fd?: unknown } | null }
  const fd = handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

function refused(address: Address, why: string): CodedError {
  return new CodedError('unavailable', `cannot connect to ${formatAddress(address)}: ${why}`)
}
