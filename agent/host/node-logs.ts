// Node logs: the logs of tasks wherever in the cluster they run. A manager asks the node, the node
// dials back and pours what its executor has into a stream; the reader's pace is the writer's. A
// manager with no connection to the node borrows the one of another manager.
//
//   client -> manager --ask--> node                  client -> manager -> its gateway --ask--> node
//                    <-stream--                                 <-stream-- <-----stream-------
//
// Nobody but a manager is ever answered.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId, TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { MessageRow, RequestRow, StreamRow } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import { readFields, readText } from '../../net/wire/check.ts'
import { decodeLogLines, encodeLogLine, logKinds, readLogAsk } from '../../net/wire/log-messages.ts'
import type { MuxStream } from '../../net/wire/mux-stream.ts'
import { readNodeId } from '../../net/wire/session-messages.ts'
import type { Clock } from '../base/clock.ts'
import type { Executor, LogOptions } from '../executor/executor.ts'
import { isBefore, mergeEntries, mergeLogs, type TaskLog } from './log-merge.ts'

export interface NodeLogsOptions {
  readonly ownId: NodeId
  readonly peers: Pick<Peers, 'request' | 'openStream' | 'peer'>
  readonly executor: Pick<Executor, 'logs'>
  readonly managers: () => readonly NodeId[]
  readonly clock: Pick<Clock, 'after' | 'sleep' | 'randomBytes'>
  readonly log: Log
}

/** What a client wants to read. */
export interface LogRequest {
  readonly tasks: readonly { readonly id: TaskId; readonly nodeId: NodeId }[]
  readonly log: LogOptions
  readonly signal: AbortSignal
  /** False for a node that is not worth a question: it is down, and its tasks are elsewhere. */
  readonly isAsked: (nodeId: NodeId, tasks: readonly TaskId[]) => boolean
  /** False when nothing more can come of these tasks: who follows them gives up a lost node. */
  readonly isAlive: (tasks: readonly TaskId[]) => boolean
  /** A node could not be read, or not to the end; told once for each node. */
  readonly onMissed: (missed: {
    readonly nodeId: NodeId
    /** One of its tasks, to speak for all. */
    readonly taskId: TaskId
    readonly reason: string
  }) => void
}

export interface NodeLogs {
  /** The logs of these tasks as one. What is wrong with one node does not end the others'. */
  readonly read: (request: LogRequest) => AsyncIterable<TaskLog>
  /** For every node. */
  readonly nodeHandlers: { readonly requests: Readonly<Record<string, RequestRow>> }
  /** For managers. */
  readonly managerHandlers: {
    readonly messages: Readonly<Record<string, MessageRow>>
    readonly requests: Readonly<Record<string, RequestRow>>
    readonly streams: Readonly<Record<string, StreamRow>>
  }
}

interface Ask {
  readonly tasks: readonly TaskId[]
  readonly log: LogOptions
  readonly signal: AbortSignal
}

/** For a node to answer, and for its stream to come. */
const askMsMax = 3_000
const whereMsMax = 1_500
/** Until a node that was lost while it was followed is tried again. */
const retryMs = 1_000

export function createNodeLogs(options: NodeLogsOptions): NodeLogs {
  const { ownId, peers, executor, clock, log } = options
  const tickets = new Map<string, { nodeId: NodeId; take: (stream: MuxStream) => void }>()

  /** Asks a node that has a connection with us, or an address; resolves with its stream. */
  const openDirect = async (nodeId: NodeId, ask: Ask): Promise<MuxStream> => {
    const ticket = Buffer.from(clock.randomBytes(16)).toString('hex')
    const { promise, resolve, reject } = Promise.withResolvers<MuxStream>()
    promise.catch(() => undefined)
    tickets.set(ticket, { nodeId, take: resolve })
    const late = new CodedError('timeout', `node ${nodeId} does not send its logs`)
    const cancel = clock.after(2 * askMsMax, () => reject(late))
    try {
      const body = { ticket, tasks: ask.tasks, log: ask.log }
      const { signal } = ask
      await peers.request(nodeId, logKinds.read, body, { timeoutMs: askMsMax, signal })
      return await promise
    } finally {
      cancel()
      tickets.delete(ticket)
    }
  }
  /** The manager that has a connection to the node. Throws unavailable. */
  const findGateway = async (nodeId: NodeId, signal: AbortSignal): Promise<NodeId> => {
    const others = options.managers().filter((id) => id !== ownId && peers.peer(id) !== undefined)
    const ask = async (id: NodeId): Promise<NodeId> => {
      const wait = { timeoutMs: whereMsMax, signal }
      const reply = readFields(await peers.request(id, logKinds.where, { nodeId }, wait), 'reply')
      if (reply['isHere'] === true) return id
      throw notConnected(nodeId)
    }
    return Promise.any(others.map(ask)).catch(() => {
      throw notConnected(nodeId)
    })
  }
  const openStream = async (nodeId: NodeId, ask: Ask): Promise<MuxStream> => {
    const isManager = options.managers().includes(nodeId)
    if (isManager || peers.peer(nodeId) !== undefined) return openDirect(nodeId, ask)
    const { tasks, signal } = ask
    const gateway = await findGateway(nodeId, signal)
    const header = { nodeId, tasks, log: ask.log }
    const stream = await peers.openStream(gateway, logKinds.relay, header, { signal })
    stream.end()
    return stream
  }
  const readOnce = async function* (nodeId: NodeId, ask: Ask): AsyncIterable<TaskLog> {
    if (nodeId === ownId) {
      yield* mergeLogs(executor, { ...ask, nodeId })
      return
    }
    const stream = await openStream(nodeId, ask)
    const stop = (): void => stream.reset()
    ask.signal.addEventListener('abort', stop, { once: true })
    try {
      for await (const line of decodeLogLines(stream)) yield { ...line, nodeId }
    } finally {
      ask.signal.removeEventListener('abort', stop)
    }
  }
  /** One node's logs; while they are followed, a node that is lost is looked for until it is back. */
  const readNode = async function* (
    nodeId: NodeId,
    { tasks, request }: { readonly tasks: readonly TaskId[]; readonly request: LogRequest },
  ): AsyncIterable<TaskLog> {
    const { log: wish, signal, onMissed } = request
    const [taskId] = tasks
    if (taskId === undefined) return
    const lastTime = new Map<TaskId, string>()
    let isMissed = false
    const miss = (reason: string): void => {
      if (!isMissed && !signal.aborted) onMissed({ nodeId, taskId, reason })
      isMissed = true
    }
    if (!request.isAsked(nodeId, tasks)) return miss(`node ${nodeId} is down`)
    for (let since = wish; !signal.aborted; ) {
      const seen = new Map(lastTime)
      try {
        for await (const entry of readOnce(nodeId, { tasks, log: since, signal })) {
          if (isSeen(entry, seen)) continue
          lastTime.set(entry.taskId, entry.time)
          yield entry
        }
        return
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        miss(error.message)
        if (!wish.follow || !isRetried(error)) return
      }
      await clock.sleep(retryMs, signal).catch(() => undefined)
      if (!request.isAlive(tasks)) return
      since = resumed(wish, lastTime)
    }
  }

  return {
    read: (request) => {
      const byNode = Map.groupBy(request.tasks, (task) => task.nodeId)
      const logs = [...byNode].map(([nodeId, tasks]) =>
        readNode(nodeId, { tasks: tasks.map(({ id }) => id), request }),
      )
      return mergeEntries(logs, request.log)
    },
    nodeHandlers: {
      requests: {
        [logKinds.read]: {
          from: ['manager'],
          handle: async (peer, body, signal) => {
            const fields = readFields(body, 'logs')
            const ask = readLogAsk(fields)
            const header = { ticket: readText(fields, 'ticket', 64) }
            const stream = await peers.openStream(peer.nodeId, logKinds.stream, header, { signal })
            pour(
              mergeLogs(executor, { ...ask, nodeId: ownId, signal: stream.signal }),
              stream,
            ).catch((error: unknown) => {
              if (error instanceof CodedError) return stream.reset(error)
              log('error', 'logs.failed', { error: String(error) })
              stream.reset(new CodedError('internal', `node ${ownId} cannot read its logs`))
            })
            return {}
          },
        },
      },
    },
    managerHandlers: {
      messages: {},
      requests: {
        [logKinds.where]: {
          from: ['manager'],
          handle: async (_peer, body) => {
            const nodeId = readNodeId(readFields(body, 'where'), 'nodeId')
            return { isHere: peers.peer(nodeId) !== undefined }
          },
        },
      },
      streams: {
        [logKinds.stream]: {
          from: ['manager', 'worker'],
          handle: async (peer, stream) => {
            const ticket = readText(readFields(stream.header, 'header'), 'ticket', 64)
            const wanted = tickets.get(ticket)
            if (wanted?.nodeId !== peer.nodeId) {
              throw new CodedError('not-found', 'nobody waits for these logs any more')
            }
            tickets.delete(ticket)
            stream.end()
            wanted.take(stream)
          },
        },
        [logKinds.relay]: {
          from: ['manager'],
          handle: async (_peer, stream) => {
            const fields = readFields(stream.header, 'header')
            const { signal } = stream
            const source = await openDirect(readNodeId(fields, 'nodeId'), {
              ...{ ...readLogAsk(fields), signal },
            })
            const stop = (): void => source.reset()
            signal.addEventListener('abort', stop, { once: true })
            for await (const bytes of source) await stream.write(bytes)
            signal.removeEventListener('abort', stop)
            stream.end()
          },
        },
      },
    },
  }
}

async function pour(entries: AsyncIterable<TaskLog>, stream: MuxStream): Promise<void> {
  for await (const entry of entries) await stream.write(encodeLogLine(entry))
  stream.end()
}

/** Told already, before the node was lost. */
function isSeen(entry: TaskLog, seen: ReadonlyMap<TaskId, string>): boolean {
  const time = seen.get(entry.taskId)
  return time !== undefined && !isBefore({ time }, entry)
}

function isRetried(error: CodedError): boolean {
  return ['unavailable', 'timeout', 'no-leader'].includes(error.code)
}

/** The same wish from the last line on that has come. */
function resumed(wish: LogOptions, lastTime: ReadonlyMap<TaskId, string>): LogOptions {
  const times = [...lastTime.values()].map((time) => Date.parse(time))
  const first = Math.min(...times)
  if (!Number.isFinite(first)) return wish
  const { tail: _, ...rest } = wish
  return { ...rest, sinceMs: first }
}

function notConnected(nodeId: NodeId): CodedError {
  return new CodedError('unavailable', `node ${nodeId} is connected with no manager`)
}
