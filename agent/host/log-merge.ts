// Log merge: the logs of several tasks as one stream. What was written before is put in order of
// time; what is still being written comes as it comes.

import type { NodeId, TaskId } from '../../core/base/id.ts'
import type { Executor, LogEntry, LogOptions } from '../executor/executor.ts'

export interface TaskLog extends LogEntry {
  readonly taskId: TaskId
  readonly nodeId: NodeId
}

/** The logs of these tasks of one executor. A task without a container has none: no error. */
export function mergeLogs(
  executor: Pick<Executor, 'logs'>,
  options: {
    readonly tasks: readonly TaskId[]
    readonly nodeId: NodeId
    readonly log: LogOptions
    readonly signal: AbortSignal
  },
): AsyncIterable<TaskLog> {
  const { tasks, nodeId, log, signal } = options
  const logOf = async function* (taskId: TaskId): AsyncIterable<TaskLog> {
    for await (const entry of executor.logs(taskId, log, signal)) yield { ...entry, taskId, nodeId }
  }
  return mergeEntries(tasks.map(logOf), log)
}

/** Several logs as one. Each is in order of time; with `follow` none is waited for. */
export async function* mergeEntries(
  logs: readonly AsyncIterable<TaskLog>[],
  { follow }: { readonly follow: boolean },
): AsyncIterable<TaskLog> {
  const sources = logs.map((entries) => new Source(entries))
  try {
    yield* follow ? interleave(sources) : inOrder(sources)
  } finally {
    await Promise.all(sources.map((source) => source.close()))
  }
}

/** One log with the next entry looked at but not taken. */
class Source {
  readonly #entries: AsyncIterator<TaskLog>
  #next: Promise<TaskLog | undefined> | undefined

  constructor(entries: AsyncIterable<TaskLog>) {
    this.#entries = entries[Symbol.asyncIterator]()
  }

  /** The next entry; undefined at the end. Asked again, it is the same until `take`. */
  peek(): Promise<TaskLog | undefined> {
    this.#next ??= this.#read()
    return this.#next
  }

  take(): void {
    this.#next = undefined
  }

  async close(): Promise<void> {
    await this.#entries.return?.()
  }

  async #read(): Promise<TaskLog | undefined> {
    const result = await this.#entries.next()
    return result.done === true ? undefined : result.value
  }
}

async function* inOrder(sources: readonly Source[]): AsyncIterable<TaskLog> {
  let left = sources
  while (left.length > 0) {
    const heads = await Promise.all(
      left.map(async (source) => ({ source, entry: await source.peek() })),
    )
    const open = heads.flatMap(({ source, entry }) =>
      entry === undefined ? [] : [{ source, entry }],
    )
    left = open.map(({ source }) => source)
    const first = open.reduce<(typeof open)[number] | undefined>(
      (best, each) => (best === undefined || isBefore(each.entry, best.entry) ? each : best),
      undefined,
    )
    if (first === undefined) return
    first.source.take()
    yield first.entry
  }
}

async function* interleave(sources: readonly Source[]): AsyncIterable<TaskLog> {
  const left = new Set(sources)
  while (left.size > 0) {
    const ready = await Promise.race(
      [...left].map(async (source) => ({ source, entry: await source.peek() })),
    )
    if (ready.entry === undefined) left.delete(ready.source)
    else {
      ready.source.take()
      yield ready.entry
    }
  }
}

/** Times are RFC 3339 in UTC with up to nine decimals: compared as text once these are filled up. */
export function isBefore(a: Pick<LogEntry, 'time'>, b: Pick<LogEntry, 'time'>): boolean {
  return sortable(a.time) < sortable(b.time)
}

function sortable(time: string): string {
  const [whole = '', decimals = ''] = time.replace(/Z$/, '').split('.')
  return `${whole}.${decimals.padEnd(9, '0')}`
}
