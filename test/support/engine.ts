// A real Docker engine on a host of the lab, with everything it writes inside the host's folder.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Daemon, tail } from './daemon.ts'
import type { Host } from './lab.ts'
import { type Answer, request, requestJson } from './unix-http.ts'
import { waitFor } from './wait.ts'

const startTimeoutMs = 60_000

export interface EngineOptions {
  /** More flags for dockerd. */
  readonly flags?: readonly string[]
}

/** Starts an engine on the host and waits until it answers. */
export async function startEngine(host: Host, options: EngineOptions = {}): Promise<Engine> {
  const engine = new Engine(host, options)
  await engine.start()
  return engine
}

export class Engine {
  readonly host: Host
  readonly socket: string
  readonly #options: EngineOptions
  #daemon: Daemon | undefined
  #bootOfStart = 0

  constructor(host: Host, options: EngineOptions) {
    this.host = host
    this.socket = join(host.folder, 'docker.sock')
    this.#options = options
  }

  /** The address in the form of the docker CLI's -H and the agent's --docker-host. */
  get url(): string {
    return `unix://${this.socket}`
  }

  /** The daemon's pid on this machine; undefined when it does not run. */
  get pid(): number | undefined {
    return this.#daemon?.pid
  }

  /** Starts the daemon, also again after stop, kill, or a power cut of the host. */
  async start(): Promise<void> {
    const { folder } = this.host
    const path = (name: string): string => join(folder, name)
    rmSync(this.socket, { force: true })
    rmSync(path('docker.pid'), { force: true })
    // A power cut leaves the pid of its containerd in a folder that would be a tmpfs in life; the
    // engine takes it for a living one when another process has that number.
    if (this.#bootOfStart !== this.host.boots) {
      rmSync(path('exec'), { recursive: true, force: true })
    }
    this.#bootOfStart = this.host.boots
    writeFileSync(path('docker.json'), '{}\n')
    const daemon = this.host.start('dockerd', [
      'dockerd',
      ...['--config-file', path('docker.json'), '--host', this.url],
      ...['--data-root', path('data'), '--exec-root', path('exec')],
      ...['--pidfile', path('docker.pid')],
      ...['--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--cgroup-parent', `/${this.host.lab.label}/${this.host.name}`],
      // Where a containerd of the machine is in reach, dockerd takes that one.
      ...['--containerd-namespace', this.host.namespace],
      ...['--containerd-plugins-namespace', `${this.host.namespace}-plugins`],
      ...(this.#options.flags ?? []),
    ])
    this.#daemon = daemon
    const what = `answer of the engine on ${this.host.name}`
    const describe = (): string => tail(daemon.log())
    await waitFor({ what, timeoutMs: startTimeoutMs, describe }, async () => {
      if (!daemon.isRunning) return false
      const answer = await this.request({ path: '/_ping' })
      return answer.status === 200
    })
  }

  /** An orderly stop: the engine ends its containers first. */
  async stop(): Promise<void> {
    await this.#daemon?.stop()
  }

  /** A crash: containers, their shims and containerd live on. */
  async kill(): Promise<void> {
    await this.#daemon?.kill()
  }

  log(): string {
    return this.#daemon?.log() ?? ''
  }

  /** Any request of the engine's API; `path` without a version. */
  request(ask: { method?: string; path: string; body?: unknown }): Promise<Answer> {
    return request({ ...ask, socket: this.socket, timeoutMs: 60_000 })
  }

  /** The same for JSON answers; throws with the engine's words when it refuses. */
  json(ask: { method?: string; path: string; body?: unknown }): Promise<unknown> {
    return requestJson({ ...ask, socket: this.socket, timeoutMs: 60_000 })
  }
}
