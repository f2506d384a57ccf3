// Log: one line an event: time, level, constant event name, fields. Text for people, JSON for
// collectors. Never a secret: whoever logs names what it logs, field by field.

import type { Level, Log, NoteFields } from '../../core/base/note.ts'
import { formatTime } from '../../core/base/time.ts'

export const logLevels = ['error', 'warn', 'info', 'debug'] as const satisfies readonly Level[]

export interface LogOptions {
  readonly level: Level
  readonly format: 'text' | 'json'
  readonly write: (line: string) => void
  readonly nowMs: () => number
}

/** A Log that writes lines of the chosen format, of the chosen level and above. */
export function createLog(options: LogOptions): Log {
  const most = logLevels.indexOf(options.level)
  return (level, event, fields = {}) => {
    if (logLevels.indexOf(level) > most) return
    const time = formatTime(options.nowMs())
    options.write(
      options.format === 'json'
        ? `${JSON.stringify({ time, level, event, ...fields })}\n`
        : `${time} ${level.toUpperCase().padEnd(5)} ${event}${formatFields(fields)}\n`,
    )
  }
}

function formatFields(fields: NoteFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${formatValue(value)}`)
    .join('')
}

function formatValue(value: NoteFields[string]): string {
  const text = String(value)
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text)
}
