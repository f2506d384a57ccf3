// One stream of the engine's events for all tasks, opened again whenever it ends.
//
//   down --(stream opened)--> up --(stream ended)--> down, wait 0.1 0.2 0.4 ... 2 s, try again
//
// Who listens hears `connected` for each way up and `lost` for each way down. Events may be missed
// while down, and are after an engine restart: `connected` means "list anew". Only exits, OOM kills
// and health changes of this node's containers are asked for, so that health checks, which make
// three events each time they run, do not wake the agent.

import { CodedError } from '../../core/base/error.ts'
import { asId, type NodeId, type TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Clock } from '../base/clock.ts'
import type { DockerClient } from './docker-client.ts'
import { nodeLabel, taskLabel } from './docker-container.ts'
import { parseHealth } from './docker-inspect.ts'
import { seconds } from './docker-logs.ts'
import { type JsonRecord, number, parseJsonLines, record, text, texts } from './engine-json.ts'
import type { ContainerHealth } from './executor.ts'

export type EngineEvent =
  | {
      readonly type: 'died'
      readonly taskId: TaskId
      readonly containerId: string
      readonly exitCode: number
    }
  | { readonly type: 'destroyed'; readonly taskId: TaskId; readonly containerId: string }
  | { readonly type: 'health'; readonly taskId: TaskId; readonly health: ContainerHealth }
  | { readonly type: 'lost'; readonly reason: string }
  | { readonly type: 'connected' }

export type EngineListener = (event: EngineEvent) => void

const retryMsMin = 100
const retryMsMax = 2_000

export class EngineEvents {
  readonly #client: DockerClient
  readonly #nodeId: NodeId
  readonly #clock: Clock
  readonly #log: Log
  readonly #listeners = new Set<EngineListener>()
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined
  #state: 'unknown' | 'up' | 'down' = 'unknown'
  #reason = ''

  constructor(options: {
    readonly client: DockerClient
    readonly nodeId: NodeId
    readonly clock: Clock
    readonly log: Log
  }) {
    this.#client = options.client
    this.#nodeId = options.nodeId
    this.#clock = options.clock
    this.#log = options.log
  }

  /**
   * Calls the listener from now on; returns how to stop. The present state is told at once, where
   * it is known: a listener always begins with `connected` or `lost`.
   */
  listen(listener: EngineListener): () => void {
    this.#listeners.add(listener)
    if (this.#state === 'up') listener({ type: 'connected' })
    if (this.#state === 'down') listener({ type: 'lost', reason: this.#reason })
    this.#running ??= this.#run(this.#closing.signal)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#closing.abort(new CodedError('unavailable', 'the executor is closed'))
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    let retryMs = retryMsMin
    while (!signal.aborted) {
      let reason = 'the event stream ended'
      try {
        const body = await this.#open(signal)
        retryMs = retryMsMin
        this.#state = 'up'
        this.#tell({ type: 'connected' })
        for await (const line of parseJsonLines(body)) this.#receive(line)
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error)
      }
      if (signal.aborted) return
      this.#down(reason)
      await this.#clock.sleep(retryMs, signal).catch(() => undefined)
      retryMs = Math.min(retryMs * 2, retryMsMax)
    }
  }

  async #open(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    // The engine answers a moment before it subscribes us; `since` covers that moment.
    const since = seconds(this.#clock.nowMs())
    // It may be another engine than before.
    if (this.#state !== 'up') this.#client.forgetVersion()
    const filters = {
      type: ['container'],
      event: ['die', 'destroy', 'health_status'],
      label: [`${nodeLabel}=${this.#nodeId}`],
    }
    const query = { since, filters }
    return (await this.#client.stream({ method: 'GET', path: '/events', query }, signal)).body
  }

  #down(reason: string): void {
    if (this.#state === 'down') return
    this.#state = 'down'
    this.#reason = reason
    this.#log('warn', 'engine.lost', { reason })
    this.#tell({ type: 'lost', reason })
  }

  #receive(line: JsonRecord): void {
    const actor = record(line['Actor'])
    const attributes = texts(actor['Attributes'])
    const action = text(line['Action'])
    const taskId = asId<TaskId>(attributes[taskLabel] ?? '')
    const containerId = text(actor['ID'])
    if (attributes[nodeLabel] !== this.#nodeId || taskId === '') return
    if (action === 'die') {
      const exitCode = number(Number(attributes['exitCode']))
      this.#tell({ type: 'died', taskId, containerId, exitCode })
    } else if (action === 'destroy') {
      this.#tell({ type: 'destroyed', taskId, containerId })
    } else if (action.startsWith('health_status')) {
      const health = parseHealth(action.slice('health_status:'.length).trim())
      this.#tell({ type: 'health', taskId, health })
    }
  }

  #tell(event: EngineEvent): void {
    for (const listener of [...this.#listeners]) listener(event)
  }
}
