// Values as Go prints them: `map[a:1 b:2]`, `[x y]`, `{a b}`, and Printf's verbs.

const structTag = Symbol('struct')

/** A value with named fields, as a Go struct: asking for another field is an error. */
export interface Struct {
  readonly [structTag]: true
  /** The type's name as errors show it, e.g. "*node.nodeContext". */
  readonly typeName: string
  readonly fields: Readonly<Record<string, unknown>>
  /** Fields that are called with arguments, e.g. `{{.Label "x"}}`. */
  readonly methods: Readonly<Record<string, (argument: string) => unknown>>
  /** Types of the fields, for errors about what is not there. */
  readonly types?: Readonly<Record<string, string>>
  /** What is printed of it, where that is not all fields in their order. */
  readonly shown?: readonly unknown[]
  /** What is printed of it, where that is a text of its own. */
  readonly text?: string
  /** What Printf's %s prints of it, where that is another text. */
  readonly asText?: string
  /** What JSON is made of it, where that is not its fields. */
  readonly json?: unknown
}

/** Makes a struct. */
export function makeStruct(
  typeName: string,
  fields: Readonly<Record<string, unknown>>,
  methods: Readonly<Record<string, (argument: string) => unknown>> = {},
): Struct {
  return { [structTag]: true, typeName, fields, methods }
}

export function isStruct(value: unknown): value is Struct {
  return typeof value === 'object' && value !== null && structTag in value
}

/** True for an object that is neither a list nor a struct: Go's map. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isStruct(value)
}

export function isNil(value: unknown): value is null | undefined {
  return value === null || value === undefined
}

/** A value by Go's %v; nil is `<nil>`. */
export function formatGo(value: unknown): string {
  if (isNil(value)) return '<nil>'
  if (Array.isArray(value)) return `[${value.map(formatGo).join(' ')}]`
  if (isStruct(value)) {
    if (value.text !== undefined) return value.text
    return `{${(value.shown ?? Object.values(value.fields)).map(formatGo).join(' ')}}`
  }
  if (isMap(value)) {
    const keys = Object.keys(value).toSorted()
    return `map[${keys.map((key) => `${key}:${formatGo(value[key])}`).join(' ')}]`
  }
  return typeof value === 'number' ? formatNumber(value) : String(value)
}

/** A number by Go's %v: plain up to 21 digits, then with an exponent of two digits. */
export function formatNumber(value: number): string {
  return String(value).replace(/e([-+])(\d)$/, 'e$10$2')
}

/** The name of a value's type in an error. */
export function typeName(value: unknown): string {
  if (isStruct(value)) return value.typeName
  if (isNil(value)) return '<nil>'
  if (Array.isArray(value)) {
    return value.length > 0 && value.every((one) => typeof one === 'string')
      ? '[]string'
      : '[]interface {}'
  }
  if (isMap(value)) return 'map[string]interface {}'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64'
  return 'string'
}

/** Struct and list contents as plain JSON values. */
export function plainValue(value: unknown): unknown {
  if (isStruct(value)) return 'json' in value ? value.json : plainValue(value.fields)
  if (Array.isArray(value)) return value.map(plainValue)
  if (!isMap(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainValue(one)]))
}

/** Go's fmt.Sprintf for the verbs v s d q t f g x X c and %, with flags, width and precision. */
export function sprintf(format: string, values: readonly unknown[]): string {
  let at = 0
  const text = format.replace(
    /%([-+ 0#]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (_, flags: string, width: string | undefined, digits: string | undefined, verb: string) => {
      if (verb === '%') return '%'
      if (at >= values.length) return `%!${verb}(MISSING)`
      const shown = formatVerb(
        verb,
        values[at++],
        digits === undefined ? undefined : Number(digits),
      )
      const signed = flags.includes('+') && /^[\d.]/.test(shown) ? `+${shown}` : shown
      return padded(signed, { flags, width: Number(width ?? 0) })
    },
  )
  if (at >= values.length) return text
  const extra = values.slice(at).map((value) => `${typeName(value)}=${formatGo(value)}`)
  return `${text}%!(EXTRA ${extra.join(', ')})`
}

function padded(text: string, options: { readonly flags: string; readonly width: number }): string {
  if (options.flags.includes('-')) return text.padEnd(options.width)
  if (!options.flags.includes('0')) return text.padStart(options.width)
  const sign = /^[-+]/.exec(text)?.[0] ?? ''
  return sign + text.slice(sign.length).padStart(options.width - sign.length, '0')
}

function formatVerb(verb: string, value: unknown, digits: number | undefined): string {
  const bad = (): string => `%!${verb}(${typeName(value)}=${formatGo(value)})`
  switch (verb) {
    case 'v':
      return formatGo(value)
    case 's':
      if (isStruct(value) && value.asText !== undefined) return value.asText.slice(0, digits)
      return typeof value === 'number' || typeof value === 'boolean'
        ? bad()
        : formatGo(value).slice(0, digits)
    case 'q':
      return typeof value === 'string' ? JSON.stringify(value) : bad()
    case 't':
      return typeof value === 'boolean' ? String(value) : bad()
    case 'd':
      return typeof value === 'number' && Number.isInteger(value) ? String(value) : bad()
    case 'f':
      return typeof value === 'number' ? value.toFixed(digits ?? 6) : bad()
    case 'g':
      return typeof value === 'number' ? formatNumber(value) : bad()
    case 'x':
    case 'X':
      return hexadecimal(value, verb) ?? bad()
    case 'c':
      return typeof value === 'number' ? String.fromCodePoint(value) : bad()
    default:
      return bad()
  }
}

function hexadecimal(value: unknown, verb: 'x' | 'X'): string | undefined {
  const text =
    typeof value === 'number'
      ? value.toString(16)
      : typeof value === 'string'
        ? Buffer.from(value).toString('hex')
        : undefined
  return verb === 'X' ? text?.toUpperCase() : text
}

/** A time of RFC 3339 as Go prints it: "2026-11-22 14:21:23.8183 +0000 UTC". */
export function formatGoTime(time: string): string {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[-+]\d\d:\d\d)$/.exec(time)
  if (parts === null) return time
  const [, day, clock, fraction = '', zone = 'Z'] = parts
  const decimals = fraction.replace(/\.?0+$/, '')
  const offset = zone === 'Z' ? '+0000' : zone.replace(':', '')
  return `${day} ${clock}${decimals} ${offset} ${offset === '+0000' ? 'UTC' : offset}`
}
