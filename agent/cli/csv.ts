// One line of comma-separated fields with quotes, as Go's encoding/csv reads it: the long form of
// flags such as --mount and --publish. Its error texts are shown to users, so they are kept.

import { CodedError } from '../../core/base/error.ts'

/** Splits a line into fields. Throws invalid-argument with Go's words, or "EOF" for nothing. */
export function parseCsv(text: string): readonly string[] {
  const line = text.split('\n')[0] ?? ''
  if (line === '') throw new CodedError('invalid-argument', 'EOF')
  const fields: string[] = []
  let at = 0
  for (;;) {
    const field = line[at] === '"' ? quotedField(line, at) : plainField(line, at)
    fields.push(field.value)
    if (field.end >= line.length) return fields
    at = field.end + 1
  }
}

interface Field {
  readonly value: string
  /** Index of the comma after it, or the line's length. */
  readonly end: number
}

function plainField(line: string, start: number): Field {
  const comma = line.indexOf(',', start)
  const end = comma < 0 ? line.length : comma
  const value = line.slice(start, end)
  const quote = value.indexOf('"')
  if (quote >= 0) throw parseError(start + quote, 'bare " in non-quoted-field')
  return { value, end }
}

function quotedField(line: string, start: number): Field {
  let value = ''
  for (let at = start + 1; ; ) {
    const quote = line.indexOf('"', at)
    if (quote < 0) throw parseError(line.length, 'extraneous or missing " in quoted-field')
    value += line.slice(at, quote)
    if (line[quote + 1] === '"') {
      value += '"'
      at = quote + 2
    } else if (quote + 1 === line.length || line[quote + 1] === ',') {
      return { value, end: quote + 1 }
    } else throw parseError(quote, 'extraneous or missing " in quoted-field')
  }
}

function parseError(index: number, what: string): CodedError {
  return new CodedError('invalid-argument', `parse error on line 1, column ${index + 1}: ${what}`)
}
