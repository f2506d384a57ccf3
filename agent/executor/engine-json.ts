// The engine's JSON, read with care: it comes from outside, so each field is `unknown` until one
// of these says what it is. A field that is missing, null or of another type reads as empty.

export type JsonRecord = Readonly<Record<string, unknown>>

const empty: JsonRecord = {}

/** The object, or an empty one. */
export function record(value: unknown): JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonRecord)
    : empty
}

/** The array, or an empty one. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** The text, or ''. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** The number, or 0. */
export function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

/** The texts of a record: its other fields are left out. */
export function texts(value: unknown): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const [key, item] of Object.entries(record(value))) {
    if (typeof item === 'string') found[key] = item
  }
  return found
}

/** Parses JSON; undefined when it is none. */
export function parseJson(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch {
    return undefined
  }
}

/** One JSON value a line, as the engine streams events and the progress of a pull. */
export async function* parseJsonLines(body: AsyncIterable<Uint8Array>): AsyncIterable<JsonRecord> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield record(parseJson(line))
  }
  if (rest.trim() !== '') yield record(parseJson(rest))
}
