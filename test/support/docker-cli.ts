// The real docker CLI against a socket: an engine's or the agent's.

import { spawnSync } from 'node:child_process'
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

/**
 * True if what the docker CLI printed is worded as transcripts have it, which are of 28.2. An older
 * one (Debian 12 has 20.10) has its own words for what it refuses itself, and for not found.
 */
export function hasRecordedWords(ended: Ended): boolean {
  cliMajor ??= majorOf(spawnSync('docker', ['--version'], { encoding: 'utf8' }).stdout)
  return cliMajor >= recordedMajor || ended.code === 0
}

const recordedMajor = 28
let cliMajor: number | undefined

function majorOf(version: string): number {
  return Number(/version (\d+)\./.exec(version)?.[1])
}
