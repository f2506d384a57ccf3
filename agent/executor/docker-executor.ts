// The executor port on Docker: each call is one or a few requests to the engine.
//
// A container is found by its labels (node and task), never by its name alone: a container that is
// not this node's is never touched. What the executor keeps in memory is only a cache of ids; after
// a restart of the agent or of the engine everything is read again.

import { CodedError, hasCode } from '../../core/base/error.ts'
import type { NodeId, TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import { type Task, taskName } from '../../core/object/task.ts'
import type { Clock } from '../base/clock.ts'
import { DockerClient } from './docker-client.ts'
import {
  containerOf,
  imageOf,
  nodeLabel,
  type PlacedFile,
  type TaskFiles,
  taskLabel,
  wholeSeconds,
} from './docker-container.ts'
import { parseDescription } from './docker-describe.ts'
import { EngineEvents } from './docker-events.ts'
import { createImages } from './docker-images.ts'
import { existing, type Inspected, parseInspect } from './docker-inspect.ts'
import { logQuery, parseFrames, parseLines } from './docker-logs.ts'
import { list as array, record, text } from './engine-json.ts'
import type { Executor, ExecutorEvent, Exit, LogEntry, LogOptions, Started } from './executor.ts'
import { createSlots } from './slots.ts'

export interface DockerExecutorOptions {
  /** Path of the engine's socket, or `unix://PATH`. */
  readonly socket: string
  /** Whose containers these are; those of another node are left alone. */
  readonly nodeId: NodeId
  readonly log: Log
  readonly clock: Clock
  /** Puts secrets and configs on this node. Without it a task that names any is refused. */
  readonly files?: TaskFiles
}

/** Creates and starts at once: more gains nothing (facts: 8 in flight 1.3 times as fast as 1). */
const startsMax = 3
/** Removals at once. */
const removalsMax = 4
/** Inspects at once while listing. */
const inspectsMax = 4
/** Events that a slow reader of `watch` may be behind; then it is told to list anew. */
const watchEventsMax = 4_096

/** An executor on the engine behind the socket. Nothing is asked of it before the first call. */
export function createDockerExecutor(options: DockerExecutorOptions): Executor {
  return new DockerExecutor(options).port()
}

class DockerExecutor {
  readonly #options: DockerExecutorOptions
  readonly #client: DockerClient
  readonly #events: EngineEvents
  readonly #images: ReturnType<typeof createImages>
  readonly #starts = createSlots(startsMax)
  readonly #removals = createSlots(removalsMax)
  readonly #inspects = createSlots(inspectsMax)
  readonly #containerIds = new Map<TaskId, string>()

  constructor(options: DockerExecutorOptions) {
    const client = new DockerClient(options.socket.replace(/^unix:\/\//, ''))
    this.#options = options
    this.#client = client
    this.#events = new EngineEvents({ ...options, client })
    this.#images = createImages({ ...options, client })
  }

  port(): Executor {
    return {
      kind: 'docker',
      describe: async (signal) => {
        const info = await this.#client.call({ method: 'GET', path: '/info' }, signal)
        return parseDescription(info)
      },
      prepare: (task, signal) => this.#prepare(task, signal),
      start: (task, signal) => this.#start(task, signal),
      wait: (id, signal) => this.#wait(id, signal),
      stop: (task, graceNs, signal) => this.#stop(task, graceNs, signal),
      release: async (id) => this.#options.files?.remove(id),
      remove: (id, signal) => this.#remove(id, signal),
      list: (signal) => this.#list(signal),
      logs: (id, logOptions, signal) => this.#logs(id, logOptions, signal),
      watch: (signal) => this.#watch(signal),
      close: async () => {
        await this.#events.close()
        await this.#client.close()
      },
    }
  }

  // prepare

  async #prepare(task: Task, signal: AbortSignal): Promise<{ containerId: string }> {
    const adopted = await this.#adopt(task, signal)
    if (adopted !== undefined) return { containerId: adopted.id }
    const files = await this.#placeFiles(task)
    const { nodeId } = this.#options
    const engineVersion = await this.#client.engineVersion(signal)
    const request = containerOf(task, { nodeId, engineVersion, files })
    const { failure } = await this.#images.ensure(task, signal)
    const containerId = await this.#starts.run(() => this.#create(task, request, failure), signal)
    this.#containerIds.set(task.id, containerId)
    if (!signal.aborted) return { containerId }
    // The engine may not be interrupted within a create, so that none is left behind unseen.
    await this.#remove(task.id, neverAborted)
    throw signal.reason
  }

  async #create(
    task: Task,
    request: ReturnType<typeof containerOf>,
    pullFailure: string | undefined,
  ): Promise<string> {
    try {
      const answer = await this.#client.slowCall(
        {
          method: 'POST',
          path: '/containers/create',
          query: { name: request.name },
          body: request.body,
          ...(request.version === undefined ? {} : { version: request.version }),
        },
        neverAborted,
      )
      return text(record(answer)['Id'])
    } catch (error) {
      if (hasCode(error, 'conflict')) {
        const adopted = await this.#adopt(task, neverAborted)
        if (adopted !== undefined) return adopted.id
      }
      if (!hasCode(error, 'not-found') || pullFailure === undefined) throw error
      const image = imageOf(task.spec.container)
      throw new CodedError('not-found', `No such image: ${image}`, {
        detail: { image, pullFailure },
        cause: error,
      })
    }
  }

  /** The container that bears the task's name, if it is the task's. */
  async #adopt(task: Task, signal: AbortSignal): Promise<Inspected | undefined> {
    const name = taskName(task)
    const found = await this.#inspect(name, signal)
    if (found === undefined) return undefined
    if (found.nodeId !== this.#options.nodeId || found.taskId !== task.id) {
      throw new CodedError(
        'conflict',
        `container ${name} is there and not this task's: rename or remove it (docker rm -f ${name})`,
      )
    }
    this.#containerIds.set(task.id, found.id)
    return found
  }

  async #placeFiles(task: Task): Promise<readonly PlacedFile[]> {
    const { secrets = [], configs = [] } = task.spec.container
    if (secrets.length === 0 && configs.length === 0) return []
    const { files } = this.#options
    if (files !== undefined) return await files.place(task)
    const names = [...secrets.map((s) => s.secretName), ...configs.map((c) => c.configName)]
    throw new CodedError(
      'not-supported',
      `task ${task.id} needs ${names.join(', ')}: this node has no place for secrets and configs`,
    )
  }

  // start, stop, remove

  async #start(task: Task, signal: AbortSignal): Promise<Started> {
    const id = await this.#idOf(task.id, signal)
    const before = await this.#mustInspect(task.id, id, signal)
    // The engine would run an ended one again; a task runs once.
    if (before.state !== 'created') return before.started
    // The machine may have been started anew since: what lay in memory is then gone.
    await this.#placeFiles(task)
    await this.#starts.run(async () => {
      try {
        await this.#client.slowCall({ method: 'POST', path: `/containers/${id}/start` }, signal)
      } catch (error) {
        if (!(error instanceof CodedError) || error.code === 'unavailable') throw error
        throw new CodedError('engine', `starting container failed: ${error.message}`, {
          cause: error,
        })
      }
    }, signal)
    return (await this.#mustInspect(task.id, id, signal)).started
  }

  async #stop(task: Task, graceNs: number, signal: AbortSignal): Promise<void> {
    await this.#ignoring('not-found', async () => {
      const id = await this.#idOf(task.id, signal)
      await this.#client.slowCall(
        { method: 'POST', path: `/containers/${id}/stop`, query: { t: wholeSeconds(graceNs) } },
        signal,
      )
    })
  }

  async #remove(taskId: TaskId, signal: AbortSignal): Promise<void> {
    await this.#ignoring('not-found', async () => {
      const id = await this.#idOf(taskId, signal)
      await this.#removals.run(() => this.#removeContainer(id, signal), signal)
    })
    this.#containerIds.delete(taskId)
    await this.#options.files?.remove(taskId)
  }

  async #removeContainer(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#client.slowCall(
        { method: 'DELETE', path: `/containers/${id}`, query: { force: true, v: true } },
        signal,
      )
    } catch (error) {
      // Another removal of it is under way (an earlier call of ours that was given up).
      if (!hasCode(error, 'conflict')) throw error
      await this.#client.slowCall(
        { method: 'POST', path: `/containers/${id}/wait`, query: { condition: 'removed' } },
        signal,
      )
    }
  }

  // wait, watch, list

  /**
   * Looks when it hears that the engine's events flow (at once when they do), so that no exit
   * falls between; and again after each way up, since exits meanwhile made no event.
   */
  async #wait(taskId: TaskId, signal: AbortSignal): Promise<Exit> {
    const id = await this.#idOf(taskId, signal)
    return await new Promise<Exit>((resolve, reject) => {
      const finish = (act: () => void): void => {
        stop()
        signal.removeEventListener('abort', abort)
        act()
      }
      const abort = (): void => finish(() => reject(signal.reason))
      const look = (fallback?: Exit): void => {
        this.#ended(taskId, id, fallback, signal).then(
          (exit) => exit !== undefined && finish(() => resolve(exit)),
          // An engine that is away says nothing about the container.
          (error) => hasCode(error, 'unavailable', 'timeout') || finish(() => reject(error)),
        )
      }
      const stop = this.#events.listen((event) => {
        if (event.type === 'connected') look()
        if (event.type !== 'died' && event.type !== 'destroyed') return
        if (event.containerId !== id) return
        look(event.type === 'died' ? { exitCode: event.exitCode, isOomKilled: false } : undefined)
      })
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
    })
  }

  /** How it ended, or undefined while it runs. */
  async #ended(
    taskId: TaskId,
    id: string,
    fallback: Exit | undefined,
    signal: AbortSignal,
  ): Promise<Exit | undefined> {
    const found = await this.#inspects.run(() => this.#inspect(id, signal), signal)
    if (found?.state === 'ended') return found.exit
    if (found !== undefined) return undefined
    if (fallback !== undefined) return fallback
    throw missing(taskId)
  }

  async *#watch(signal: AbortSignal): AsyncIterable<ExecutorEvent> {
    let queue: Promise<ExecutorEvent | undefined>[] = []
    let wake: () => void = () => undefined
    const push = (event: ExecutorEvent | Promise<ExecutorEvent | undefined>): void => {
      if (queue.length >= watchEventsMax) queue = [Promise.resolve({ type: 'connected' })]
      queue.push(Promise.resolve(event))
      wake()
    }
    const stop = this.#events.listen((event) => {
      if (event.type === 'died') push(this.#exitedEvent(event.taskId, event, signal))
      else if (event.type !== 'destroyed') push(event)
    })
    const abort = (): void => wake()
    signal.addEventListener('abort', abort)
    try {
      while (!signal.aborted) {
        const event = await queue.shift()
        if (event !== undefined) yield event
        else if (queue.length === 0 && !signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      }
    } finally {
      stop()
      signal.removeEventListener('abort', abort)
    }
  }

  async #exitedEvent(
    taskId: TaskId,
    event: { readonly containerId: string; readonly exitCode: number },
    signal: AbortSignal,
  ): Promise<ExecutorEvent | undefined> {
    const fallback = { exitCode: event.exitCode, isOomKilled: false }
    try {
      const exit = await this.#ended(taskId, event.containerId, fallback, signal)
      // Still there and running: it was started again by another hand. Nothing has ended.
      return exit === undefined ? undefined : { type: 'exited', taskId, exit }
    } catch {
      return { type: 'exited', taskId, exit: fallback }
    }
  }

  async #list(signal: AbortSignal): ReturnType<Executor['list']> {
    const ids = await this.#find([`${nodeLabel}=${this.#options.nodeId}`], signal)
    const all = await Promise.all(
      ids.map((id) => this.#inspects.run(() => this.#inspect(id, signal), signal)),
    )
    const found = all.filter((container) => container !== undefined)
    this.#containerIds.clear()
    for (const container of found) this.#containerIds.set(container.taskId, container.id)
    const alive = found.filter(({ state }) => state !== 'ended')
    await this.#options.files?.sweep(new Set(alive.map((container) => container.taskId)))
    return found.filter((container) => container.taskId !== '').map(existing)
  }

  // logs

  async *#logs(taskId: TaskId, options: LogOptions, signal: AbortSignal): AsyncIterable<LogEntry> {
    const id = await this.#idOf(taskId, signal)
    const { isTty } = await this.#mustInspect(taskId, id, signal)
    const { body } = await this.#client.stream(
      { method: 'GET', path: `/containers/${id}/logs`, query: logQuery(options) },
      signal,
    )
    try {
      yield* isTty ? parseLines(body) : parseFrames(body)
    } catch (error) {
      // Aborting is how a follower ends; it is no failure.
      if (!signal.aborted) throw error
    }
  }

  // finding

  async #idOf(taskId: TaskId, signal: AbortSignal): Promise<string> {
    const known = this.#containerIds.get(taskId)
    if (known !== undefined) return known
    const labels = [`${taskLabel}=${taskId}`, `${nodeLabel}=${this.#options.nodeId}`]
    const [id] = await this.#find(labels, signal)
    if (id === undefined) throw missing(taskId)
    this.#containerIds.set(taskId, id)
    return id
  }

  async #find(labels: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const query = { all: true, filters: { label: labels } }
    const answer = await this.#client.call(
      { method: 'GET', path: '/containers/json', query },
      signal,
    )
    return array(answer).map((container) => text(record(container)['Id']))
  }

  async #inspect(idOrName: string, signal: AbortSignal): Promise<Inspected | undefined> {
    return await this.#ignoring('not-found', async () =>
      parseInspect(
        await this.#client.call({ method: 'GET', path: `/containers/${idOrName}/json` }, signal),
      ),
    )
  }

  async #mustInspect(taskId: TaskId, id: string, signal: AbortSignal): Promise<Inspected> {
    const found = await this.#inspect(id, signal)
    if (found !== undefined) return found
    this.#containerIds.delete(taskId)
    throw missing(taskId)
  }

  async #ignoring<T>(code: 'not-found', act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act()
    } catch (error) {
      if (hasCode(error, code)) return undefined
      throw error
    }
  }
}

const neverAborted = new AbortController().signal

function missing(taskId: TaskId): CodedError {
  return new CodedError('not-found', `no container of task ${taskId} on this node`)
}
