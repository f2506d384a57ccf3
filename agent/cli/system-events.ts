// events: what happens in the cluster and on this node, as it happens.

import { CodedError } from '../../core/base/error.ts'
import { formatFilters } from './api.ts'
import type { EventJson } from './api-json.ts'
import { type Call, exitError, messageOf } from './command.ts'
import { makeStruct } from './go-print.ts'
import { compareText } from './natural.ts'
import { filtersOf } from './service-list.ts'
import { compileTemplate, runTemplate } from './template.ts'
import { parseTimestamp } from './timestamp.ts'

/** events: ends with the stream, or at --until. */
export async function showEvents({ api, flags, io }: Call): Promise<undefined> {
  const format = flags.text('format')
  const template = format === '' ? undefined : eventTemplate(format)
  const time = (name: string): string | undefined => {
    const text = flags.text(name)
    return text === '' ? undefined : parseTimestamp(text, io.now())
  }
  const answer = await api.stream('GET', '/events', {
    query: {
      filters: formatFilters(filtersOf(flags.all('filter'))),
      since: time('since'),
      until: time('until'),
    },
  })
  for await (const line of readJsonLines(answer.body)) {
    const isJson = format === 'json' || format === '{{json .}}'
    if (isJson) io.stdout.write(`${line.text}\n`)
    else if (template === undefined) io.stdout.write(`${formatEvent(line.value, line.text)}\n`)
    else io.stdout.write(`${runTemplate(template, eventStruct(line.value))}\n`)
    await io.stdout.drained()
  }
  return undefined
}

/** An event as templates see it. */
function eventStruct(event: EventJson) {
  const actor = { ID: event.Actor?.ID ?? '', Attributes: event.Actor?.Attributes ?? {} }
  return makeStruct('*events.Message', {
    Type: event.Type ?? '',
    Action: event.Action ?? '',
    Actor: makeStruct('events.Actor', actor),
    Scope: event.scope ?? '',
    Time: event.time ?? 0,
    TimeNano: event.timeNano ?? 0,
    Status: event.status ?? '',
    ID: event.id ?? '',
    From: event.from ?? '',
  })
}

function eventTemplate(format: string) {
  try {
    const template = compileTemplate(format === 'json' ? '{{json .}}' : format)
    // A field that no event has is told now, and not when the first event comes.
    runTemplate(template, eventStruct({}))
    return template
  } catch (error) {
    throw exitError(`Error parsing format: ${messageOf(error)}`, 64)
  }
}

/** The objects of a stream of JSON, one a line. */
export async function* readJsonLines(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly text: string; readonly value: EventJson }> {
  const decoder = new TextDecoder()
  let pending = ''
  const parse = (text: string): { text: string; value: EventJson } => {
    try {
      return { text, value: JSON.parse(text) as EventJson }
    } catch (cause) {
      throw new CodedError('damaged-data', `an event is not JSON: ${text.slice(0, 80)}`, { cause })
    }
  }
  for await (const chunk of body) {
    const lines = (pending + decoder.decode(chunk, { stream: true })).split('\n')
    pending = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield parse(line.trim())
  }
  if (pending.trim() !== '') yield parse(pending.trim())
}

/** An event in one line: time, type, action, id, attributes. `text` is the event's own JSON. */
export function formatEvent(event: EventJson, text: string): string {
  const attributes = Object.entries(event.Actor?.Attributes ?? {})
    .toSorted(([one], [other]) => compareText(one, other))
    .map(([key, value]) => `${key}=${value}`)
  const suffix = attributes.length === 0 ? '' : ` (${attributes.join(', ')})`
  const time = formatEventTime(event, text)
  return `${time}${event.Type ?? ''} ${event.Action ?? ''} ${event.Actor?.ID ?? ''}${suffix}`
}

/**
 * The time of an event in local time with nine decimals, and a blank; empty when it has none. The
 * nanoseconds are taken from the text, for a JSON number here cannot hold their last digits.
 */
function formatEventTime(event: EventJson, text: string): string {
  const digits = [...text.matchAll(/"timeNano":(\d+)/g)].at(-1)?.[1]
  const seconds = digits === undefined ? (event.time ?? 0) : Number(digits.slice(0, -9))
  if (seconds === 0) return ''
  const offset = -new Date(seconds * 1000).getTimezoneOffset()
  const local = new Date((seconds + offset * 60) * 1000).toISOString().slice(0, 19)
  const two = (value: number): string => String(Math.trunc(value)).padStart(2, '0')
  const zone =
    offset === 0
      ? 'Z'
      : `${offset < 0 ? '-' : '+'}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`
  return `${local}.${digits?.slice(-9) ?? '000000000'}${zone} `
}
