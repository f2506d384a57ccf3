// Notes: what core would log if it logged. A machine returns them with its effects; the host
// writes one line each, and tests read them as data.

export type Level = 'error' | 'warn' | 'info' | 'debug'
export type NoteFields = Readonly<Record<string, string | number | boolean | undefined>>

/** error: someone must act; warn: may have to; info: something changed; debug: the rest. */
export interface Note {
  readonly level: Level
  /** A constant name of dotted words, e.g. `task.state`. */
  readonly event: string
  readonly fields: NoteFields
}

/** How net and agent log: the same three parts, written at once. */
export type Log = (level: Level, event: string, fields?: NoteFields) => void
