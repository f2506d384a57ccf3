// Logs: GET /services/{id}/logs and /tasks/{id}/logs, in the stream format of the engine.
//
//   without a terminal, each entry is a frame:      with one, bytes as they come
//     [1 stdout | 2 stderr | 3 our error] 0 0 0 [size, 4 bytes, big endian] size bytes
//
//   an entry: [time ' '] [details ' '] line         (`timestamps=1`, `details=1`)

import { CodedError, formatError } from '../../core/base/error.ts'
import type { TaskId } from '../../core/base/id.ts'
import { findService, findTask } from '../../core/store/query.ts'
import type { LogOptions } from '../executor/executor.ts'
import type { TaskLogEntry } from './backend.ts'
import { type Call, isOn, param } from './call.ts'
import { readTime } from './events.ts'
import { isOlder } from './version.ts'

/** GET /services/{id}/logs: of all its tasks, those of the past too. */
export async function serviceLogs(call: Call): Promise<void> {
  const options = readOptions(call)
  const view = await call.api.backend.read()
  const service = findService(view, param(call))
  const tasks = [...view.tasksOfService(service.id)]
  await streamLogs(call, {
    options,
    serviceOf: new Map(tasks.map((task) => [task.id, service.id])),
    isTerminal: service.spec.task.container.tty === true,
  })
}

/** GET /tasks/{id}/logs. */
export async function taskLogs(call: Call): Promise<void> {
  const options = readOptions(call)
  const task = findTask(await call.api.backend.read(), param(call))
  await streamLogs(call, {
    options,
    serviceOf: new Map([[task.id, task.serviceId]]),
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
  /** The tasks, with the service of each. */
  readonly serviceOf: ReadonlyMap<TaskId, string>
  readonly isTerminal: boolean
}

async function streamLogs(call: Call, asked: LogRequest): Promise<void> {
  const { options, serviceOf, isTerminal } = asked
  const { response, signal } = call
  const isMultiplexed = !isTerminal && !isOlder(call.version, '1.42')
  const subtype = isMultiplexed ? 'multiplexed-stream' : 'raw-stream'
  response.writeHead(200, { 'Content-Type': `application/vnd.docker.${subtype}` })
  // The client waits for the head although nothing may be logged for long.
  response.flushHeaders()
  const format = {
    isTerminal,
    hasTime: isOn(call, 'timestamps'),
    hasDetails: isOn(call, 'details'),
  }
  try {
    for await (const entry of call.api.backend.logs([...serviceOf.keys()], options, signal)) {
      if (!options[entry.stream]) continue
      const bytes = formatEntry(entry, serviceOf.get(entry.taskId) ?? '', format)
      if (!response.write(bytes)) await drained(call)
      if (signal.aborted) return
    }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    if (signal.aborted) return
    const text = Buffer.from(`Error grabbing logs: ${formatError(error)}\n`)
    response.write(isTerminal ? text : frame(3, text))
  }
  response.end()
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
