// Runs a parsed template over data. Structs are strict, maps are lenient: see go-print.ts. Functions are
// Go's own and docker's: json, split, join, title, lower, upper, pad, truncate, println.

import { CodedError } from '../../core/base/error.ts'
import { formatGo, isMap, isNil, isStruct, plainValue, sprintf, typeName } from './go-print.ts'
import { formatJson } from './json-text.ts'
import {
  type Operand,
  type Pipe,
  type PipeCommand,
  parseTemplate,
  type Template,
  type TemplateNode,
  templateError,
} from './template-parse.ts'

/** A function that templates may call. Throws CodedError with what Go would say. */
export type TemplateFunction = (...values: readonly unknown[]) => unknown

/** How a template runs. */
export interface RunOptions {
  /** Functions that stand in for those of the same name. */
  readonly functions?: Readonly<Record<string, TemplateFunction>>
  /** A key that a map lacks is an error; else it is `<no value>`. */
  readonly isStrict?: boolean
}

/** Parses a --format text; `functions` are known besides the usual ones. */
export function compileTemplate(
  text: string,
  options: { readonly name?: string; readonly functions?: readonly string[] } = {},
): Template {
  return parseTemplate(text, {
    ...options,
    functions: [...Object.keys(baseFunctions), ...lazyFunctions, ...(options.functions ?? [])],
  })
}

/** The text that a template gives for some data. Throws invalid-argument with Go's words. */
export function runTemplate(template: Template, data: unknown, options: RunOptions = {}): string {
  const run: Run = {
    template,
    options,
    functions: { ...baseFunctions, ...options.functions },
    output: [],
    variables: [['$', data]],
  }
  runNodes(run, template.nodes, data)
  return run.output.join('')
}

interface Run {
  readonly template: Template
  readonly options: RunOptions
  readonly functions: Readonly<Record<string, TemplateFunction>>
  readonly output: string[]
  variables: [name: string, value: unknown][]
}

type Signal = 'break' | 'continue' | undefined

function runNodes(run: Run, nodes: readonly TemplateNode[], dot: unknown): Signal {
  for (const node of nodes) {
    const signal = runNode(run, node, dot)
    if (signal !== undefined) return signal
  }
  return undefined
}

function runNode(run: Run, node: TemplateNode, dot: unknown): Signal {
  switch (node.type) {
    case 'text':
      run.output.push(node.text)
      return undefined
    case 'break':
    case 'continue':
      return node.type
    case 'action': {
      const value = evaluatePipe(run, node.pipe, dot)
      if (node.pipe.names.length === 0) {
        run.output.push(value === undefined ? '<no value>' : formatGo(value))
      }
      return undefined
    }
    default: {
      const depth = run.variables.length
      const signal = node.type === 'range' ? runRange(run, node, dot) : runBranch(run, node, dot)
      run.variables = run.variables.slice(0, depth)
      return signal
    }
  }
}

type Branch = Extract<TemplateNode, { type: 'if' | 'with' | 'range' }>

function runBranch(run: Run, node: Branch, dot: unknown): Signal {
  const value = evaluatePipe(run, node.pipe, dot)
  if (!isTrue(value)) return runNodes(run, node.otherwise, dot)
  return runNodes(run, node.body, node.type === 'with' ? value : dot)
}

function runRange(run: Run, node: Branch, dot: unknown): Signal {
  const pipe = { ...node.pipe, names: [] }
  const value = evaluatePipe(run, pipe, dot)
  const entries = entriesOf(run, value, node.pipe)
  if (entries.length === 0) return runNodes(run, node.otherwise, dot)
  const { names } = node.pipe
  const depth = run.variables.length
  for (const [key, item] of entries) {
    run.variables = run.variables.slice(0, depth)
    if (names.length === 1) run.variables.push([names[0] ?? '', item])
    if (names.length === 2) run.variables.push([names[0] ?? '', key], [names[1] ?? '', item])
    if (runNodes(run, node.body, item) === 'break') break
  }
  return undefined
}

function entriesOf(run: Run, value: unknown, pipe: Pipe): readonly (readonly [unknown, unknown])[] {
  if (isNil(value)) return []
  if (Array.isArray(value)) return value.map((item, at) => [at, item])
  if (typeof value === 'number') return Array.from({ length: value }, (_, at) => [at, at])
  if (isMap(value)) {
    return Object.keys(value)
      .toSorted()
      .map((key) => [key, value[key]])
  }
  throw failed(run, pipe.commands[0], `range can't iterate over ${formatGo(value)}`)
}

function evaluatePipe(run: Run, pipe: Pipe, dot: unknown): unknown {
  let value: unknown
  pipe.commands.forEach((command, at) => {
    value = evaluateCommand(run, { command, dot, piped: at === 0 ? [] : [value] })
  })
  for (const name of pipe.names) {
    if (!pipe.isAssignment) run.variables.push([name, value])
    else {
      const variable = run.variables.findLast(([one]) => one === name)
      if (variable !== undefined) variable[1] = value
    }
  }
  return value
}

interface Evaluation {
  readonly command: PipeCommand
  readonly dot: unknown
  readonly piped: readonly unknown[]
}

function evaluateCommand(run: Run, { command, dot, piped }: Evaluation): unknown {
  const [first, ...others] = command.operands
  if (first === undefined) return undefined
  if (first.type === 'function') {
    if (first.name === 'and' || first.name === 'or') {
      return evaluateLogic(run, { name: first.name, operands: others, dot, piped })
    }
    const values = others.map((operand) => evaluateOperand(run, operand, dot))
    return callFunction(run, { command, name: first.name, values: [...values, ...piped] })
  }
  const values = [...others.map((operand) => evaluateOperand(run, operand, dot)), ...piped]
  if (first.type === 'nil') throw failed(run, first, 'nil is not a command')
  if (values.length === 0) return evaluateOperand(run, first, dot)
  if (first.type === 'field') return callMethod(run, { operand: first, dot, values })
  throw failed(run, first, `can't give argument to non-function ${first.source}`)
}

function evaluateLogic(
  run: Run,
  logic: {
    readonly name: 'and' | 'or'
    readonly operands: readonly Operand[]
    readonly dot: unknown
    readonly piped: readonly unknown[]
  },
): unknown {
  let value: unknown
  for (const operand of logic.operands) {
    value = evaluateOperand(run, operand, logic.dot)
    if (isTrue(value) === (logic.name === 'or')) return value
  }
  return logic.piped.length > 0 ? logic.piped[0] : value
}

function callFunction(
  run: Run,
  call: {
    readonly command: PipeCommand
    readonly name: string
    readonly values: readonly unknown[]
  },
): unknown {
  const called = run.functions[call.name]
  if (called === undefined) throw failed(run, call.command, `"${call.name}" is not a function`)
  try {
    return called(...call.values)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw failed(run, call.command, `error calling ${call.name}: ${error.message}`)
  }
}

function callMethod(
  run: Run,
  call: {
    readonly operand: Extract<Operand, { type: 'field' }>
    readonly dot: unknown
    readonly values: readonly unknown[]
  },
): unknown {
  const { operand, dot, values } = call
  const owner = followPath(run, { value: dot, path: operand.path.slice(0, -1), operand })
  const name = operand.path.at(-1) ?? ''
  const method = isStruct(owner) ? owner.methods[name] : undefined
  if (method !== undefined) return method(String(values[0]))
  const what = `${name} has arguments but cannot be invoked as function`
  throw failed(run, operand, what)
}

function evaluateOperand(run: Run, operand: Operand, dot: unknown): unknown {
  switch (operand.type) {
    case 'dot':
      return dot
    case 'nil':
      return undefined
    case 'literal':
      return operand.value
    case 'field':
      return followPath(run, { value: dot, path: operand.path, operand })
    case 'variable': {
      const value = run.variables.findLast(([name]) => name === operand.name)?.[1]
      return followPath(run, { value, path: operand.path, operand })
    }
    case 'pipe': {
      const value = evaluatePipe(run, operand.pipe, dot)
      return followPath(run, { value, path: operand.path, operand })
    }
    default:
      return callFunction(run, {
        command: { at: operand.at, source: operand.source, operands: [operand] },
        name: operand.name,
        values: [],
      })
  }
}

function followPath(
  run: Run,
  step: { readonly value: unknown; readonly path: readonly string[]; readonly operand: Operand },
): unknown {
  let value = step.value
  let type = 'interface {}'
  for (const name of step.path) {
    if (isStruct(value)) {
      type = value.types?.[name] ?? 'interface {}'
      if (!Object.hasOwn(value.fields, name)) {
        throw failed(run, step.operand, `can't evaluate field ${name} in type ${value.typeName}`)
      }
      value = value.fields[name]
    } else if (isMap(value)) {
      if (!Object.hasOwn(value, name) && run.options.isStrict === true) {
        throw failed(run, step.operand, `map has no entry for key ${JSON.stringify(name)}`)
      }
      value = Object.hasOwn(value, name) ? value[name] : undefined
    } else if (isNil(value)) {
      throw failed(run, step.operand, `nil pointer evaluating ${type}.${name}`)
    } else {
      throw failed(run, step.operand, `can't evaluate field ${name} in type ${typeName(value)}`)
    }
  }
  return value
}

function isTrue(value: unknown): boolean {
  if (isNil(value) || value === false || value === 0 || value === '') return false
  if (Array.isArray(value)) return value.length > 0
  return isMap(value) ? Object.keys(value).length > 0 : true
}

function failed(
  run: Run,
  place: { readonly at: number; readonly source: string } | undefined,
  what: string,
): CodedError {
  const { name, text } = run.template
  const at = place?.at ?? 0
  const column = at - (text.lastIndexOf('\n', at - 1) + 1)
  const source = place?.source ?? '.'
  const where = `executing ${JSON.stringify(name)} at <${source}>`
  return templateError({ name, text, at, column, what: `${where}: ${what}` })
}

function wrong(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}

/** Functions that do not evaluate all of their arguments. */
const lazyFunctions = ['and', 'or']

/** The functions of every template. */
const baseFunctions: Readonly<Record<string, TemplateFunction>> = {
  json: (value) => formatJson(plainValue(value) ?? null, { isHtmlSafe: false }),
  split: (text, separator) => String(text).split(String(separator)),
  join: (list, separator) => joinValues(list, String(separator)),
  title: (text) =>
    String(text).replace(/(^|[^\p{L}\p{N}_'])(\p{L})/gu, (match) => match.toUpperCase()),
  lower: (text) => String(text).toLowerCase(),
  upper: (text) => String(text).toUpperCase(),
  pad: (text, before, after) =>
    text === '' ? '' : ' '.repeat(Number(before)) + String(text) + ' '.repeat(Number(after)),
  truncate: (text, length) => String(text).slice(0, Number(length)),
  print: (...values) => printed(values, ''),
  println: (...values) => `${values.map(formatGo).join(' ')}\n`,
  printf: (format, ...values) => sprintf(String(format), values),
  not: (value) => !isTrue(value),
  len: (value) => lengthOf(value),
  index: (value, ...keys) => keys.reduce(indexOne, value),
  slice: (value, from = 0, to) => sliced(value, Number(from), to),
  eq: (one, ...others) => others.some((other) => isSame(one, other)),
  ne: (one, other) => !isSame(one, other),
  lt: (one, other) => compare(one, other) < 0,
  le: (one, other) => compare(one, other) <= 0,
  gt: (one, other) => compare(one, other) > 0,
  ge: (one, other) => compare(one, other) >= 0,
  html: (...values) => printed(values, '').replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`),
  js: (...values) => JSON.stringify(printed(values, '')).slice(1, -1),
  urlquery: (...values) => encodeURIComponent(printed(values, '')).replaceAll('%20', '+'),
}

/** Go's Sprint: a space between two values when neither is a text. */
function printed(values: readonly unknown[], start: string): string {
  return values.reduce<string>((text, value, at) => {
    const isApart = at > 0 && typeof value !== 'string' && typeof values[at - 1] !== 'string'
    return text + (isApart ? ' ' : '') + formatGo(value)
  }, start)
}

function joinValues(list: unknown, separator: string): string {
  if (isNil(list)) return ''
  if (Array.isArray(list)) return list.map(formatGo).join(separator)
  if (isMap(list)) return Object.values(list).map(formatGo).toSorted().join(separator)
  throw wrong(`expected slice, got ${typeName(list)}`)
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (Array.isArray(value)) return value.length
  if (isMap(value)) return Object.keys(value).length
  throw wrong(isNil(value) ? 'len of nil pointer' : `len of type ${typeName(value)}`)
}

function indexOne(value: unknown, key: unknown): unknown {
  if (Array.isArray(value)) {
    if (typeof key !== 'number') throw wrong(`cannot index slice/array with type ${typeName(key)}`)
    if (key < 0 || key >= value.length) throw wrong(`index out of range: ${key}`)
    return value[key]
  }
  if (isMap(value)) return Object.hasOwn(value, String(key)) ? value[String(key)] : ''
  if (isNil(value)) throw wrong('index of untyped nil')
  if (typeof value === 'string' && typeof key === 'number') {
    const byte = Buffer.from(value)[key]
    if (byte === undefined) throw wrong(`index out of range: ${key}`)
    return byte
  }
  throw wrong(`can't index item of type ${typeName(value)}`)
}

function sliced(value: unknown, from: number, to: unknown): unknown {
  const end = typeof to === 'number' ? to : undefined
  if (typeof value === 'string') return value.slice(from, end)
  if (Array.isArray(value)) return value.slice(from, end)
  throw wrong(`can't slice item of type ${typeName(value)}`)
}

function isSame(one: unknown, other: unknown): boolean {
  if (isNil(one) || isNil(other)) return isNil(one) && isNil(other)
  if (typeof one === 'object' || typeof other === 'object') {
    throw wrong('non-comparable type: only basic values can be compared')
  }
  if (typeof one !== typeof other) throw wrong('incompatible types for comparison')
  return one === other
}

function compare(one: unknown, other: unknown): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other
  if (typeof one === 'string' && typeof other === 'string') {
    return one < other ? -1 : one > other ? 1 : 0
  }
  throw wrong('incompatible types for comparison')
}
