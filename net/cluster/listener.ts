// The listener: the one port of the cluster. Takes connections through admission and handshake, and
// hands over those who have proved who they are. Wrong tokens are answered late and counted.

import { createServer, type Server, type Socket } from 'node:net'
import { CodedError } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { CertificateRole } from '../secure/certificate.ts'
import type { Identity, TrustPolicy } from '../secure/handshake.ts'
import { acceptSecure, type SecureStream } from '../secure/secure-stream.ts'
import { type AdmissionClock, type AdmissionLimits, createAdmission } from './admission.ts'
import { type Address, formatAddress, tune } from './tcp.ts'

export interface ListenerOptions {
  readonly address: Address
  readonly identity: () => Identity
  readonly trust: TrustPolicy
  /** The role that a token's secret gives. Throws CodedError for a wrong one. */
  readonly admitGuest: (secret: string, host: string) => CertificateRole
  readonly clock: AdmissionClock
  readonly log: Log
  readonly limits?: AdmissionLimits
  readonly onStream: (stream: SecureStream, host: string) => void
}

export interface Listener {
  /** Where it listens; the port is the real one if 0 was asked. */
  readonly address: Address
  readonly counts: () => {
    readonly halfOpen: number
    readonly evicted: number
    readonly wrongTokens: number
  }
  readonly close: () => Promise<void>
}

/** A wrong secret is answered after this time. 129 bits need no more; a log does. */
const wrongTokenDelayMs = 1_000
/** Lines about strangers, a minute. */
const refusalsLoggedMax = 20
const backlog = 1_024

/** Listens. Rejects with unavailable, the address in its text, if it cannot. */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { clock, log } = options
  const admission = createAdmission(clock, options.limits)
  const sockets = new Set<Socket>()
  let wrongTokens = 0
  const logged = createLogBudget(clock)

  const accept = async (socket: Socket): Promise<void> => {
    const host = unmapped(socket.remoteAddress ?? '')
    const visit = admission.enter(host, () => socket.destroy())
    sockets.add(socket)
    socket.on('close', () => {
      sockets.delete(socket)
      visit.leave()
    })
    tune(socket)
    let isWrongToken = false
    const admitGuest = (secret: string): CertificateRole => {
      try {
        return options.admitGuest(secret, host)
      } catch (error) {
        isWrongToken = true
        wrongTokens++
        throw error
      }
    }
    const { identity, trust } = options
    const stream = await acceptSecure(
      socket,
      { identity: identity(), trust, admitGuest },
      {
        timers: clock,
        admit: visit.turn,
        refuse: async (error) => {
          if (logged()) {
            const fields = { host, code: error.code, reason: error.message, wrongTokens }
            log('warn', isWrongToken ? 'join.refused' : 'peer.refused', fields)
          }
          if (isWrongToken) await new Promise<void>((done) => clock.after(wrongTokenDelayMs, done))
        },
      },
    )
    visit.leave()
    options.onStream(stream, host)
  }
  const server = createServer({ noDelay: true }, (socket) => {
    accept(socket).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error
      log('debug', 'peer.unheard', { host: socket.remoteAddress, reason: error.message })
    })
  })
  await listen(server, options.address)
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : options.address.port
  return {
    address: { host: options.address.host, port },
    counts: () => ({ halfOpen: admission.halfOpen(), evicted: admission.evicted(), wrongTokens }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function listen(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the address is in use' : (error.code ?? '')
      const text = `cannot listen on ${formatAddress(address)}: ${why}`
      reject(new CodedError('unavailable', text, { cause: error }))
    })
    server.listen({ host: address.host, port: address.port, backlog }, () => {
      server.removeAllListeners('error')
      // A failed accept (no file descriptors) concerns one visitor; the next try may do better.
      server.on('error', () => {})
      resolve()
    })
  })
}

/** True while the minute has lines left. */
function createLogBudget(clock: AdmissionClock): () => boolean {
  let startedAtMs = clock.steadyMs()
  let used = 0
  return () => {
    if (clock.steadyMs() - startedAtMs > 60_000) {
      startedAtMs = clock.steadyMs()
      used = 0
    }
    return ++used <= refusalsLoggedMax
  }
}

/** IPv4 in its own form, also when a socket for both has taken it. */
function unmapped(host: string): string {
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice('::ffff:'.length) : host
}
