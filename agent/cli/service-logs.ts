// service logs: lines of all tasks of a service, each with the task and node that it comes from. The
// daemon sends frames of stdout and stderr, each frame a line that starts with who wrote it.
//
//   frame: | stream 1 B | 0 0 0 | length 4 B big-endian | line |
//   line:  [timestamp ] com.docker.swarm.node.id=..,..task.id=.. text

import { CodedError, hasCode } from '../../core/base/error.ts'
import type { Api } from './api.ts'
import type { ServiceJson, TaskJson } from './api-json.ts'
import type { CliOutput } from './cli-io.ts'
import { type Call, exitError } from './command.ts'
import { compareText } from './natural.ts'
import { cut } from './opts/list.ts'
import { type NameResolver, nameResolver, truncateId } from './tasks.ts'
import { parseTimestamp } from './timestamp.ts'

/** service logs, logs */
export async function showLogs(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const name = call.args[0] ?? ''
  const source = await findSource(api, name)
  const isRaw = flags.isOn('raw')
  if (source.isTty && !isRaw) throw exitError('tty service logs only supported with --raw', 1)
  const abort = new AbortController()
  const since = flags.text('since')
  const answer = await api.stream('GET', `${source.path}/logs`, {
    signal: abort.signal,
    query: {
      details: flags.isOn('details') || !isRaw ? '1' : undefined,
      follow: flags.isOn('follow') ? '1' : undefined,
      since: since === '' ? undefined : parseTimestamp(since, io.now()),
      stderr: '1',
      stdout: '1',
      tail: flags.text('tail'),
      timestamps: flags.isOn('timestamps') ? '1' : undefined,
    },
  })
  if (source.isTty) {
    for await (const chunk of answer.body) {
      io.stdout.write(chunk)
      await io.stdout.drained()
    }
    return undefined
  }
  const names = nameResolver(api, { isResolving: !flags.isOn('no-resolve') })
  const prefix = taskPrefix({ call, names, width: source.slotWidth })
  for await (const frame of readFrames(answer.body)) {
    const output = frame.isError ? io.stderr : io.stdout
    if (isRaw) output.write(frame.bytes)
    else await writeLogLine(output, { call, line: frame.bytes, prefix })
    await output.drained()
  }
  return undefined
}

interface LogSource {
  readonly path: string
  readonly isTty: boolean
  /** Digits of the highest slot: prefixes are padded to it. */
  readonly slotWidth: number
}

async function findSource(api: Api, name: string): Promise<LogSource> {
  const encoded = encodeURIComponent(name)
  try {
    const service = await api.get<ServiceJson>(`/services/${encoded}`)
    const replicas = service.Spec?.Mode?.Replicated?.Replicas
    return {
      path: `/services/${encoded}`,
      isTty: service.Spec?.TaskTemplate?.ContainerSpec?.TTY === true,
      slotWidth: replicas === undefined ? 1 : String(replicas).length,
    }
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
  }
  try {
    const task = await api.get<TaskJson>(`/tasks/${encoded}`)
    return {
      path: `/tasks/${encoded}`,
      isTty: task.Spec?.ContainerSpec?.TTY === true,
      slotWidth: String(task.Slot ?? 0).length,
    }
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    throw exitError(`no such task or service: ${name}`, 1)
  }
}

/** A piece of one of the two streams. */
export interface LogFrame {
  readonly isError: boolean
  readonly bytes: Uint8Array
}

const headerSize = 8
/** A longer frame is not a log. */
const frameSizeMax = 16 * 1024 * 1024
/** The stream on which the daemon tells of an error of its own. */
const systemStream = 3

/** Cuts a multiplexed stream into frames. Throws what the daemon tells on the system stream. */
export async function* readFrames(body: AsyncIterable<Uint8Array>): AsyncGenerator<LogFrame> {
  let pending = Buffer.alloc(0)
  for await (const chunk of body) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk])
    while (pending.length >= headerSize) {
      const length = pending.readUInt32BE(4)
      const stream = pending[0] ?? 0
      if (stream > systemStream || length > frameSizeMax) {
        throw new CodedError('damaged-data', `Unrecognized input header: ${stream}`)
      }
      if (pending.length < headerSize + length) break
      const bytes = pending.subarray(headerSize, headerSize + length)
      pending = pending.subarray(headerSize + length)
      if (stream === systemStream) {
        throw new CodedError('engine', `error from daemon in stream: ${bytes.toString().trim()}`)
      }
      yield { isError: stream === 2, bytes }
    }
  }
}

type TaskPrefix = (from: {
  readonly node: string
  readonly service: string
  readonly task: string
}) => Promise<string>

function taskPrefix(how: {
  readonly call: Call
  readonly names: NameResolver
  readonly width: number
}): TaskPrefix {
  const { flags, api } = how.call
  const cache = new Map<string, string>()
  return async ({ node, service, task }) => {
    const known = cache.get(task)
    if (known !== undefined) return known
    const nodeName = await how.names.node(node)
    const serviceName = await how.names.service(service)
    const { Slot: slot = 0, ID: id } = await api.get<TaskJson>(`/tasks/${task}`)
    const shownId = flags.isOn('no-trunc') ? id : truncateId(id)
    const name = `${serviceName}.${slot}${flags.isOn('no-task-ids') ? '' : `.${shownId}`}`
    const padding = ' '.repeat(Math.max(0, how.width - String(slot).length))
    const text = `${name}@${nodeName}${padding}`
    cache.set(task, text)
    return text
  }
}

async function writeLogLine(
  output: CliOutput,
  entry: { readonly call: Call; readonly line: Uint8Array; readonly prefix: TaskPrefix },
): Promise<void> {
  const { flags } = entry.call
  // Bytes stay bytes: a line need not be UTF-8. latin1 maps each byte to one character and back.
  const line = Buffer.from(entry.line).toString('latin1')
  const hasTime = flags.isOn('timestamps')
  const stamped = hasTime ? cut(line, ' ') : { before: '', after: line, isCut: true }
  const { before: context, after: text, isCut } = cut(stamped.after, ' ')
  if (!stamped.isCut || !isCut) {
    throw new CodedError('damaged-data', `invalid context in log message: ${line}`)
  }
  const { from, details } = parseContext(context)
  const prefix = Buffer.from(`${await entry.prefix(from)}    | `).toString('latin1')
  const time = hasTime ? `${stamped.before} ` : ''
  const shownDetails = flags.isOn('details') ? `${details.join(',')} ` : ''
  output.write(Buffer.from(`${time}${prefix}${shownDetails}${text}`, 'latin1'))
}

const contextKeys = {
  node: 'com.docker.swarm.node.id',
  service: 'com.docker.swarm.service.id',
  task: 'com.docker.swarm.task.id',
} as const

/** The ids that the daemon puts in front of a line, and the other details, sorted. */
export function parseContext(text: string): {
  readonly from: Record<keyof typeof contextKeys, string>
  readonly details: readonly string[]
} {
  const pairs = new Map(
    text.split(',').map((pair) => {
      const { before, after } = cut(pair, '=')
      return [decodeDetail(before), decodeDetail(after)]
    }),
  )
  const take = (kind: keyof typeof contextKeys): string => {
    const id = pairs.get(contextKeys[kind])
    if (id === undefined) {
      throw new CodedError('damaged-data', `missing ${kind} id in details: ${text}`)
    }
    pairs.delete(contextKeys[kind])
    return id
  }
  const from = { node: take('node'), service: take('service'), task: take('task') }
  const details = [...pairs].map(([key, value]) => `${key}=${value}`)
  return { from, details: details.toSorted(compareText) }
}

function decodeDetail(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
