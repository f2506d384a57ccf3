// Config: the flags of `agent daemon`, their defaults and their bounds. `init` takes the same ones
// and hands them on to the daemon that it starts.

import { parseArgs } from 'node:util'
import { CodedError } from '../../core/base/error.ts'
import type { Level } from '../../core/base/note.ts'
import { defaultAddress, formatHostPort, parseHostPort } from './addresses.ts'
import { logLevels } from './log.ts'

export const defaultStateFolder = '/var/lib/skep'
export const defaultSocket = '/run/skep/agent.sock'
export const defaultEngine = 'unix:///var/run/docker.sock'

export interface DaemonConfig {
  readonly stateFolder: string
  readonly socketPath: string
  readonly engineSocket: string
  /** host:port */
  readonly listenAddress: string
  readonly advertiseAddress: string
  /** Which of the two were given; the others come from this machine. */
  readonly given: readonly ('listen' | 'advertise')[]
  readonly runtime: 'docker'
  readonly logLevel: Level
  readonly logFormat: 'text' | 'json'
}

interface FlagRow {
  readonly value: string
  readonly help: string
}

/** Flag -> how its value is called, what it does. The index of `agent daemon --help`. */
export const daemonFlags = {
  'state-dir': {
    value: 'path',
    help: `Folder of everything that lasts (default "${defaultStateFolder}")`,
  },
  socket: { value: 'path', help: `Socket of the API (default "${defaultSocket}")` },
  'docker-host': { value: 'url', help: `Socket of the Docker engine (default "${defaultEngine}")` },
  'listen-addr': {
    value: 'ip:port',
    help: 'Where other nodes reach this one (default "0.0.0.0:2377")',
  },
  'advertise-addr': { value: 'ip[:port]|interface', help: 'What other nodes are told of it' },
  runtime: { value: 'docker', help: 'What runs containers (default "docker")' },
  'log-level': { value: 'level', help: `One of ${logLevels.join(', ')} (default "info")` },
  'log-format': { value: 'text|json', help: 'Form of log lines (default "text")' },
} as const satisfies Record<string, FlagRow>

export type DaemonFlag = keyof typeof daemonFlags

/** Reads the flags. Throws invalid-argument with the flag, the value and what it takes. */
export function parseDaemonConfig(args: readonly string[]): DaemonConfig {
  const given = parseFlags(args)
  const socketPath = unixPath(given.socket ?? defaultSocket, 'socket')
  const listenAddress = checked('listen-addr', given['listen-addr'] ?? '0.0.0.0:2377')
  const { port } = parseHostPort(listenAddress)
  const runtime = given.runtime ?? 'docker'
  if (runtime !== 'docker') {
    throw invalid('runtime', runtime, 'this version of the agent runs containers with docker only')
  }
  return {
    stateFolder: given['state-dir'] ?? defaultStateFolder,
    socketPath,
    engineSocket: unixPath(given['docker-host'] ?? defaultEngine, 'docker-host'),
    listenAddress,
    advertiseAddress: checked(
      'advertise-addr',
      given['advertise-addr'] ?? `${bracketed(defaultAddress())}:${port}`,
      port,
    ),
    given: (['listen', 'advertise'] as const).filter((each) => `${each}-addr` in given),
    runtime,
    logLevel: oneOf('log-level', given['log-level'] ?? 'info', logLevels),
    logFormat: oneOf('log-format', given['log-format'] ?? 'text', ['text', 'json']),
  }
}

/** The command line that gives a daemon this configuration; defaults are left out. */
export function formatDaemonFlags(args: Readonly<Partial<Record<DaemonFlag, string>>>): string[] {
  return Object.entries(args).flatMap(([flag, value]) => [`--${flag}`, value])
}

function parseFlags(args: readonly string[]): Partial<Record<DaemonFlag, string>> {
  try {
    const options = Object.fromEntries(
      Object.keys(daemonFlags).map((flag) => [flag, { type: 'string' as const }]),
    )
    const { values } = parseArgs({ args: [...args], options, allowPositionals: false })
    return values as Partial<Record<DaemonFlag, string>>
  } catch (error) {
    throw new CodedError('invalid-argument', error instanceof Error ? error.message : String(error))
  }
}

function invalid(flag: DaemonFlag, value: string, why: string): CodedError {
  return new CodedError('invalid-argument', `invalid argument "${value}" for --${flag}: ${why}`)
}

function oneOf<T extends string>(flag: DaemonFlag, value: string, all: readonly T[]): T {
  const found = all.find((each) => each === value)
  if (found === undefined) throw invalid(flag, value, `must be one of ${all.join(', ')}`)
  return found
}

function unixPath(value: string, flag: DaemonFlag): string {
  const path = value.replace(/^unix:\/\//, '')
  if (!path.startsWith('/')) throw invalid(flag, value, 'must be unix:///PATH or an absolute path')
  // sun_path of unix(7) has 108 bytes with its end mark.
  if (Buffer.byteLength(path) > 107) throw invalid(flag, value, 'must have at most 107 bytes')
  return path
}

function checked(flag: DaemonFlag, value: string, port?: number): string {
  try {
    return formatHostPort(parseHostPort(value, port))
  } catch (error) {
    throw invalid(flag, value, error instanceof Error ? error.message : String(error))
  }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
