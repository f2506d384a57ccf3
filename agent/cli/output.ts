// Lists and inspections in docker's forms: a table, JSON, a raw list, or the user's own template.

import { CodedError } from '../../core/base/error.ts'
import type { CliOutput } from './cli-io.ts'
import { exitError, messageOf } from './command.ts'
import { isStruct, makeStruct, type Struct } from './go-print.ts'
import { goValue } from './go-types.ts'
import { compactJson, formatJson, indentJson } from './json-text.ts'
import { alignColumns, listShape } from './table.ts'
import { compileTemplate, runTemplate, type TemplateFunction } from './template.ts'
import type { Template } from './template-parse.ts'

/** A kind of list: what it is called in Go, its columns, its usual formats. */
export interface ListForm {
  /** The name of the row's type in template errors. */
  readonly typeName: string
  /** Field -> heading of its column. */
  readonly headings: Readonly<Record<string, string>>
  readonly table: string
  readonly raw?: { readonly full: string; readonly quiet: string }
}

/** One row: fields, and fields that take an argument. */
export interface ListRow {
  readonly fields: Readonly<Record<string, unknown>>
  readonly methods?: Readonly<Record<string, (argument: string) => unknown>>
}

/** The format text that a list uses, from its flags. */
export function listFormat(form: ListForm, flags: { format: string; isQuiet: boolean }): string {
  const format = flags.format === '' ? 'table' : flags.format
  if (format === 'table') return flags.isQuiet ? '{{.ID}}' : form.table
  if (format === 'raw' && form.raw !== undefined) {
    return flags.isQuiet ? form.raw.quiet : form.raw.full
  }
  return format
}

/** True for a format that draws a table. */
export function isTableFormat(format: string): boolean {
  return format.startsWith('table')
}

/** Writes rows in a format. Nothing is written when the template is wrong. */
export function writeList(
  output: CliOutput,
  list: { readonly form: ListForm; readonly format: string; readonly rows: readonly ListRow[] },
): void {
  const { form, format } = list
  const template = parsing(() => compileTemplate(templateText(format)))
  const rows = list.rows.map((row) => makeStruct(form.typeName, row.fields, row.methods))
  const lines = rows.map((row) => `${parsing(() => runRow(template, row))}\n`)
  if (!isTableFormat(format)) {
    output.write(lines.join(''))
    return
  }
  const heading = parsing(() =>
    runTemplate(template, form.headings, { functions: headingFunctions }),
  )
  output.write(alignColumns(`${heading}\n${lines.join('')}`, listShape))
}

function runRow(template: Template, row: Struct): string {
  return runTemplate(template, row, { functions: { json: rowJson } })
}

/** A row as JSON has its fields by name, and Go escapes & < > in it; a field alone has not. */
const rowJson: TemplateFunction = (value) => {
  if (!isStruct(value)) return formatJson(value ?? null, { isHtmlSafe: false })
  const fields = Object.keys(value.fields).toSorted()
  const sorted = Object.fromEntries(fields.map((name) => [name, value.fields[name]]))
  return formatJson(sorted, { isHtmlSafe: true })
}

/** A heading is shown as it is, whatever the template does to the column. */
const headingFunctions: Readonly<Record<string, TemplateFunction>> = Object.fromEntries(
  ['json', 'split', 'join', 'title', 'lower', 'upper', 'truncate'].map((name) => [
    name,
    (value: unknown) => value,
  ]),
)

function templateText(format: string): string {
  if (format === 'json') return '{{json .}}'
  const text = format === 'table' ? '' : format.startsWith('table') ? format.slice(5) : format
  return text
    .replace(/^ +| +$/g, '')
    .replaceAll('\\t', '\t')
    .replaceAll('\\n', '\n')
}

function parsing<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new CodedError('invalid-argument', `template parsing error: ${messageOf(error)}`)
  }
}

/** An object to inspect: its value for templates, its JSON text for the rest. */
export interface Inspected {
  readonly value: unknown
  readonly text: string
}

/**
 * Inspects objects one by one: all that are found are written, then the errors of the others are
 * thrown as one. `format` is '', "json", or a template.
 */
export async function inspectAll(
  output: CliOutput,
  inspection: {
    readonly names: readonly string[]
    readonly format: string
    /** The Go type that a template sees. */
    readonly type: string
    /** Where the type lacks what a template asks for, it gets the JSON as it is. */
    readonly isRawToo?: boolean
    readonly find: (name: string) => Promise<Inspected>
  },
): Promise<void> {
  const { format } = inspection
  const isTemplate = format !== '' && format !== 'json'
  // What docker checks inside of a command's own loop ends with 1, the rest with 64.
  const badExitCode = inspection.isRawToo === true ? 64 : 1
  const template = isTemplate ? inspectTemplate(format, badExitCode) : undefined
  const found: string[] = []
  const errors: string[] = []
  for (const name of inspection.names) {
    try {
      const { value, text } = await inspection.find(name)
      found.push(template === undefined ? text : inspectOne(template, { value, ...inspection }))
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  if (template !== undefined) output.write(found.length === 0 ? '\n' : found.join(''))
  else if (format === 'json') output.write(`${compactJson(`[${found.join(',')}]`)}\n`)
  else output.write(found.length === 0 ? '[]\n' : `${indentJson(`[${found.join(',')}]`)}\n`)
  if (errors.length > 0) throw exitError(errors.join('\n'), 1)
}

function inspectTemplate(format: string, badExitCode: number): Template {
  try {
    return compileTemplate(format)
  } catch (error) {
    throw exitError(`template parsing error: ${messageOf(error)}`, badExitCode)
  }
}

function inspectOne(
  template: Template,
  object: { readonly value: unknown; readonly type: string; readonly isRawToo?: boolean },
): string {
  const typed = goValue(object.value, object.type)
  if (object.isRawToo !== true) return `${parsing(() => runTemplate(template, typed))}\n`
  try {
    return `${runTemplate(template, typed)}\n`
  } catch (error) {
    messageOf(error)
    return `${parsing(() => runTemplate(template, object.value, { isStrict: true }))}\n`
  }
}

/** The first letter in upper case, the rest in lower case, as docker shows states. */
export function capitalize(text: string): string {
  if (text.length < 2) return text.toLowerCase()
  return text.charAt(0).toUpperCase() + text.slice(1).toLowerCase()
}

/** Labels as one text, by key: "a=1,b=2". */
export function formatLabels(labels: Readonly<Record<string, string>> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(',')
}
