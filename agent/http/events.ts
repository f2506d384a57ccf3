// Events: GET /events, the engine's events and the cluster's in one stream, a line each.
//
//   engine  --line--line--------line-->  \
//                                          whole lines, none cut, in order of time while
//   cluster --------line---line------->  /  past ones are replayed (`since`)
//
// The stream ends when both have ended (`until`), or when the engine that it carries goes away, as
// it would with Docker: clients then connect anew.

import { CodedError } from '../../core/base/error.ts'
import { type Filters, parseFilters } from '../../core/store/query.ts'
import type { Call } from './call.ts'
import { type ClusterEvent, formatEvent, isWanted } from './event-log.ts'
import { pathForEngine } from './version.ts'

/** Longest line of the engine; its events are some 500 bytes, labels and all. */
const lineBytesMax = 1024 * 1024

/** How long an engine may be silent before our past events are not held back for its. */
const replayQuietMs = 100

/** How often an engine that is not there is looked for again. */
const retryMs = 1_000

/** Longer timers fire at once; who waits 24 days connects again. */
const timerMsMax = 2 ** 31 - 1

/** What a slow client may leave unread before it is cut off. */
const unreadBytesMax = 4 * 1024 * 1024

/** GET /events. Throws bad-request for unreadable times and filters. */
export async function streamEvents(call: Call): Promise<void> {
  const since = readTime(call, 'since')
  const until = readTime(call, 'until')
  if (since !== undefined && until !== undefined && until < since) {
    throw new CodedError(
      'bad-request',
      `\`since\` time (${call.query.get('since')}) cannot be after \`until\` time (${call.query.get('until')})`,
    )
  }
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const nowMs = call.api.backend.nowMs()
  const isPast = until !== undefined && until <= nowMs

  const merge = startMerge(call, pastEvents(call, { filters, since, until }))
  const stopListening = isPast
    ? undefined
    : call.api.events.listen((event) => {
        if (isWanted(event, filters)) merge.take(event)
      })
  const timer =
    until === undefined || isPast
      ? undefined
      : setTimeout(() => merge.endOurs(), Math.min(until - nowMs, timerMsMax))
  if (isPast) merge.endOurs()
  try {
    call.response.writeHead(200, { 'Content-Type': 'application/json' })
    call.response.flushHeaders()
    await copyEngine(call, merge)
    await merge.ended
    merge.flush()
  } finally {
    stopListening?.()
    clearTimeout(timer)
    merge.close()
  }
  call.response.end()
}

/** Unix seconds, with up to nine decimals, to milliseconds. Throws bad-request. */
export function readTime(call: Call, name: string): number | undefined {
  const text = call.query.get(name) ?? ''
  if (text === '') return undefined
  const match = /^(-?\d{1,12})(?:\.(\d{0,20}))?$/.exec(text)
  if (match === null) {
    throw new CodedError(
      'bad-request',
      `invalid value for '${name}': invalid timestamp ${JSON.stringify(text)}: want seconds.nanoseconds`,
    )
  }
  return Number(match[1]) * 1000 + Number(`0.${match[2] || '0'}`) * 1000
}

function pastEvents(
  call: Call,
  asked: {
    readonly filters: Filters
    readonly since: number | undefined
    readonly until: number | undefined
  },
): readonly ClusterEvent[] {
  const { filters, since, until } = asked
  // As with Docker, `until` alone replays all that is kept.
  if (since === undefined && until === undefined) return []
  return call.api.events
    .recent()
    .filter((event) => event.atMs >= (since ?? 0) && event.atMs <= (until ?? Infinity))
    .filter((event) => isWanted(event, filters))
}

interface Merge {
  /** A new event of the cluster. */
  readonly take: (event: ClusterEvent) => void
  /** A whole line of the engine. */
  readonly line: (line: string) => void
  /** The cluster's side is over (`until`). */
  readonly endOurs: () => void
  /** Resolves when the cluster's side is over or the client has gone. */
  readonly ended: Promise<void>
  /** Writes the past events that are still held back. */
  readonly flush: () => void
  readonly close: () => void
}

function startMerge(call: Call, past: readonly ClusterEvent[]): Merge {
  const waiting = [...past]
  const over = Promise.withResolvers<void>()
  call.signal.addEventListener('abort', () => over.resolve(), { once: true })
  const write = (line: string): void => {
    if (call.response.destroyed) return
    call.response.write(`${line}\n`)
    if (call.response.writableLength > unreadBytesMax) call.response.destroy()
  }
  const release = (upToMs: number): void => {
    while (waiting[0] !== undefined && waiting[0].atMs <= upToMs) {
      write(formatEvent(waiting[0]))
      waiting.shift()
    }
  }
  let quiet = setTimeout(() => release(Infinity), replayQuietMs)
  return {
    take: (event) => {
      if (waiting.length > 0) waiting.push(event)
      else write(formatEvent(event))
    },
    line: (line) => {
      if (waiting.length > 0) {
        release(timeOf(line))
        clearTimeout(quiet)
        quiet = setTimeout(() => release(Infinity), replayQuietMs)
      }
      write(line)
    },
    endOurs: () => over.resolve(),
    ended: over.promise,
    flush: () => release(Infinity),
    close: () => clearTimeout(quiet),
  }
}

/** When an event of the engine happened, in milliseconds. */
function timeOf(line: string): number {
  const nanoseconds = /"timeNano":(\d+)/.exec(line)?.[1]
  return nanoseconds === undefined ? Infinity : Number(nanoseconds) / 1e6
}

/**
 * Copies the engine's events until its stream ends. An engine that is not there at the start is
 * looked for until the client leaves or `until` has come. Ends the cluster's side when the engine
 * breaks off.
 */
async function copyEngine(call: Call, merge: Merge): Promise<void> {
  if (call.api.engine.socketPath === undefined) return
  let isOver = false
  const over = merge.ended.then(() => {
    isOver = true
  })
  do {
    const result = await copyOnce(call, merge)
    if (result === 'broken') merge.endOurs()
    if (result !== 'absent') return
    await Promise.race([pause(retryMs), over])
  } while (!isOver)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function copyOnce(call: Call, merge: Merge): Promise<'ended' | 'broken' | 'absent'> {
  const facts = await call.api.engine.facts()
  const url = pathForEngine(
    call.request.url ?? '/events',
    facts && { min: facts.minApiVersion, max: facts.apiVersion },
  )
  const request = call.api.engine.open({
    method: 'GET',
    path: url,
    headers: ['Host', 'docker', 'Connection', 'close'],
  })
  const { promise, resolve } = Promise.withResolvers<'ended' | 'broken' | 'absent'>()
  const giveUp = (): void => void request.destroy()
  call.signal.addEventListener('abort', giveUp, { once: true })
  let rest = ''
  request.on('error', () => resolve('absent'))
  request.on('response', (answer) => {
    if (answer.statusCode !== 200) {
      // It read the same times and filters as we did; whatever it dislikes, it has no events.
      answer.resume()
      resolve('ended')
      return
    }
    answer.setEncoding('utf8')
    answer.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') merge.line(line)
      if (rest.length > lineBytesMax) request.destroy()
    })
    answer.on('error', () => resolve('broken'))
    answer.on('end', () => {
      if (rest !== '') merge.line(rest)
      // Without `until` the engine never ends its stream: it was stopped.
      resolve(call.query.get('until') ? 'ended' : 'broken')
    })
  })
  request.end()
  const result = await promise
  call.signal.removeEventListener('abort', giveUp)
  return result
}
