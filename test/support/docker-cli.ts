// The real docker CLI against a socket: an engine's or the agent's.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ended, run } from '../../scripts/process.ts'

export interface DockerCall {
  /** unix://PATH */
  readonly host: string
  readonly input?: string
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Runs `docker ARGS` with an empty configuration of its own, never the user's. */
export async function docker(call: DockerCall, ...args: readonly string[]): Promise<Ended> {
  const config = mkdtempSync(join(tmpdir(), 'skep-docker-config-'))
  try {
    return await run('docker', ['--host', call.host, ...args], {
      timeoutMs: call.timeoutMs ?? 60_000,
      ...(call.input === undefined ? {} : { input: call.input }),
      env: {
        ...process.env,
        DOCKER_CONFIG: config,
        DOCKER_CLI_HINTS: 'false',
        NO_COLOR: '1',
        ...call.env,
      },
    })
  } finally {
    rmSync(config, { recursive: true, force: true })
  }
}

/** The standard output of a call that has to succeed; throws with what it printed otherwise. */
export async function mustDocker(call: DockerCall, ...args: readonly string[]): Promise<string> {
  const ended = await docker(call, ...args)
  if (ended.code !== 0) {
    throw new Error(`docker ${args.join(' ')} ended with ${ended.code}: ${ended.stderr.trim()}`)
  }
  return ended.stdout.trim()
}

/** The docker CLI's own version, 28 of 28.2.2: it words some errors itself, and not always alike. */
export async function dockerCliMajor(): Promise<number> {
  const ended = await run('docker', ['--version'], { timeoutMs: 10_000 })
  return Number(/version (\d+)\./.exec(ended.stdout)?.[1])
}
