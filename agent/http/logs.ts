// Logs: GET /services/{id}/logs and /tasks/{id}/logs, in the stream format of the engine.
//
//   without a terminal, each entry is a frame:      with one, bytes as they come
//     [1 stdout | 2 stderr | 3 our error] 0 0 0 [size, 4 bytes, big endian] size bytes
//
//   an entry: [time ' '] [details ' '] line         (`timestamps=1`, `details=1`)

import { CodedError, formatError } from '../../core/base/error.ts'
import type { TaskId } from '../../core/base/id.ts'
import { formatTime } from '../../core/base/time.ts'
import { isEnded, stateRank, type Task } from '../../core/object/task.ts'
import { findService, findTask } from '../../core/store/query.ts'
import type { View } from '../../core/store/view.ts'
import type { LogOptions } from '../executor/executor.ts'
import type { MissedLog, TaskLogEntry } from './backend.ts'
import { type Call, isOn, param } from './call.ts'
import { readTime } from './events.ts'
import { readView } from './read-view.ts'
import { isOlder } from './version.ts'

/**
 * GET /services/{id}/logs: of all its tasks, those of the past too; with `follow` also of those to
 * come, until the service is removed.
 */
export async function serviceLogs(call: Call): Promise<void> {
  const options = readOptions(call)
  const view = await readView(call)
  const { id, spec } = findService(view, param(call))
  await streamLogs(call, {
    options,
    tasks: view.tasksOfService(id),
    isWanted: (task) => task.serviceId === id,
    isOver: (now) => now.get('service', id) === undefined,
    isTerminal: spec.task.container.tty === true,
  })
}

/** GET /tasks/{id}/logs; with `follow`, until it has ended. */
export async function taskLogs(call: Call): Promise<void> {
  const options = readOptions(call)
  const task = findTask(await readView(call), param(call))
  await streamLogs(call, {
    options,
    tasks: [task],
    isWanted: ({ id }) => id === task.id,
    isOver: (now) => isEnded(now.get('task', task.id)?.status.state ?? 'remove'),
    isTerminal: task.spec.container.tty === true,
  })
}

function readOptions(call: Call): LogOptions {
  const stdout = isOn(call, 'stdout')
  const stderr = isOn(call, 'stderr')
  if (!stdout && !stderr) {
    throw new CodedError('bad-request', "must specify at least one of 'stdout' or 'stderr'")
  }
  const sinceMs = readTime(call, 'since')
  const untilMs = readTime(call, 'until')
  const tail = readTail(call.query.get('tail') ?? '')
  return {
    stdout,
    stderr,
    follow: isOn(call, 'follow'),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(tail === undefined ? {} : { tail }),
  }
}

function readTail(text: string): number | undefined {
  if (text === '' || text === 'all') return undefined
  if (/^-\d+$/.test(text)) {
    throw new CodedError('bad-request', 'negative tail values not supported')
  }
  if (!/^\d{1,9}$/.test(text)) {
    throw new CodedError('bad-request', 'tail value must be a positive integer or "all"')
  }
  return Number(text)
}

interface LogRequest {
  readonly options: LogOptions
  /** Those there are now. */
  readonly tasks: readonly Task[]
  /** True for a task that belongs to the stream, now or later. */
  readonly isWanted: (task: Task) => boolean
  /** True when nothing can come any more but what is being read. */
  readonly isOver: (now: View) => boolean
  readonly isTerminal: boolean
}

/** Who reads: until when, and what is done with a node that could not be read. */
interface Reader {
  readonly signal: AbortSignal
  readonly onMissed: (missed: MissedLog) => void
}

async function streamLogs(call: Call, asked: LogRequest): Promise<void> {
  const { response, signal } = call
  const isMultiplexed = !asked.isTerminal && !isOlder(call.version, '1.42')
  const subtype = isMultiplexed ? 'multiplexed-stream' : 'raw-stream'
  response.writeHead(200, { 'Content-Type': `application/vnd.docker.${subtype}` })
  // The client waits for the head although nothing may be logged for long.
  response.flushHeaders()
  try {
    if (asked.options.follow) await follow(call, asked)
    else {
      const missed: MissedLog[] = []
      const onMissed = (node: MissedLog): number => missed.push(node)
      await copyLogs(call, asked, { tasks: asked.tasks, reader: { signal, onMissed } })
      if (!signal.aborted) await warnOf(call, asked, missed)
    }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    if (signal.aborted) return
    const text = Buffer.from(`Error grabbing logs: ${formatError(error)}\n`)
    response.write(asked.isTerminal ? text : frame(3, text))
  }
  response.end()
}

/** Writes the logs of these tasks until they end. */
async function copyLogs(
  call: Call,
  asked: LogRequest,
  { tasks, reader }: { readonly tasks: readonly Task[]; readonly reader: Reader },
): Promise<void> {
  const { options } = asked
  const serviceOf = new Map(tasks.map((task) => [task.id, task.serviceId]))
  const entries = call.api.backend.logs([...serviceOf.keys()], options, reader)
  for await (const entry of entries) {
    if (reader.signal.aborted) return
    if (!options[entry.stream]) continue
    const bytes = formatEntry(entry, serviceOf.get(entry.taskId) ?? '', formatOf(call, asked))
    if (!call.response.write(bytes)) await drained(call)
  }
}

function formatOf(
  call: Call,
  { isTerminal }: LogRequest,
): { readonly isTerminal: boolean; readonly hasTime: boolean; readonly hasDetails: boolean } {
  return { isTerminal, hasTime: isOn(call, 'timestamps'), hasDetails: isOn(call, 'details') }
}

/**
 * One line on stderr that names the nodes that were missed. It comes in the name of a task of the
 * first of them, since clients want to know for each line where it is from, and give up at a frame
 * of any other kind.
 */
async function warnOf(call: Call, asked: LogRequest, missed: readonly MissedLog[]): Promise<void> {
  const [first] = missed
  if (first === undefined) return
  const { view } = call.api.backend.stale()
  const names = missed.map(({ nodeId, reason }) => {
    const hostname = view.get('node', nodeId)?.description?.hostname
    return `node ${hostname ?? nodeId} is not available${hostname === undefined ? '' : ` (${reason})`}`
  })
  const text = `warning: incomplete log stream. some logs could not be retrieved for the following reasons: ${names.join(', ')}\n`
  const entry: TaskLogEntry = {
    ...{ taskId: first.taskId, nodeId: first.nodeId, stream: 'stderr', data: Buffer.from(text) },
    time: formatTime(call.api.backend.nowMs()),
  }
  const serviceId = view.get('task', first.taskId)?.serviceId ?? ''
  call.response.write(formatEntry(entry, serviceId, formatOf(call, asked)))
}

/** Writes logs as they come, those of tasks that begin later too. */
async function follow(call: Call, asked: LogRequest): Promise<void> {
  const { backend } = call.api
  const stop = new AbortController()
  const warned = new Set<string>()
  const reader: Reader = {
    signal: AbortSignal.any([call.signal, stop.signal]),
    // There is no end to wait for: it is said at once.
    onMissed: (missed) => {
      if (warned.has(missed.nodeId)) return
      warned.add(missed.nodeId)
      warnOf(call, asked, [missed]).catch(reject)
    },
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const followed = new Set<TaskId>()
  let reading = 0
  const endIfOver = async (): Promise<void> => {
    if (reading === 0 && asked.isOver(backend.stale().view)) resolve()
  }
  const begin = (tasks: readonly Task[], options: LogOptions): void => {
    const fresh = tasks.filter(
      (task) => asked.isWanted(task) && hasBegun(task) && !followed.has(task.id),
    )
    if (fresh.length === 0) return
    for (const task of fresh) followed.add(task.id)
    reading += 1
    copyLogs(call, { ...asked, options }, { tasks: fresh, reader })
      .finally(() => {
        reading -= 1
      })
      .then(endIfOver)
      .catch(reject)
  }
  // A task that begins from now on is shown from its first line.
  const { tail: _, ...fromStart } = asked.options
  const unwatch = backend.watch((applied) => {
    begin(
      applied.flatMap(({ after }) => (after?.kind === 'task' ? [after] : [])),
      fromStart,
    )
    endIfOver().catch(reject)
  })
  call.signal.addEventListener('abort', () => resolve(), { once: true })
  try {
    begin(asked.tasks, asked.options)
    endIfOver().catch(reject)
    await promise
  } finally {
    unwatch()
    stop.abort()
  }
}

/** True once there is a container that may have written something. */
function hasBegun(task: Task): boolean {
  return stateRank(task.status.state) >= stateRank('running')
}

/** Resolves when the client has read enough, or has gone. */
function drained(call: Call): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.response.off('drain', done).off('close', done)
      resolve()
    }
    call.response.on('drain', done).on('close', done)
    if (call.response.destroyed) done()
  })
}

/** The bytes of one entry. */
export function formatEntry(
  entry: TaskLogEntry,
  serviceId: string,
  format: {
    readonly isTerminal: boolean
    readonly hasTime: boolean
    readonly hasDetails: boolean
  },
): Buffer {
  const time = format.hasTime ? `${fixedTime(entry.time)} ` : ''
  const details = format.hasDetails ? `${formatDetails(entry, serviceId)} ` : ''
  const line = Buffer.concat([Buffer.from(time + details), entry.data])
  return format.isTerminal ? line : frame(entry.stream === 'stdout' ? 1 : 2, line)
}

/** Always nine decimals, so that times stand in a column. */
function fixedTime(time: string): string {
  const match = /^([^.Z+]*)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time)
  return match === null ? time : `${match[1]}.${(match[2] ?? '').padEnd(9, '0')}${match[3]}`
}

/** Where the entry comes from, with what the log driver adds: sorted, escaped as in a query. */
function formatDetails(entry: TaskLogEntry, serviceId: string): string {
  const details: Readonly<Record<string, string>> = {
    ...entry.details,
    'com.docker.swarm.node.id': entry.nodeId,
    'com.docker.swarm.service.id': serviceId,
    'com.docker.swarm.task.id': entry.taskId,
  }
  return Object.entries(details)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => pair.map(queryEscape).join('='))
    .join(',')
}

/** As Go's url.QueryEscape. */
function queryEscape(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

function frame(stream: 1 | 2 | 3, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head[0] = stream
  head.writeUInt32BE(payload.length, 4)
  return Buffer.concat([head, payload])
}
