// Go's text/template, the part that --format needs: the text is cut into tokens and built into a tree.
// What is left out is define, template and block. Errors have Go's words and name the line.
//
//   "{{range .A}}{{.B}} {{end}}"  ->  range .A [ action .B, text " " ]

import { CodedError } from '../../core/base/error.ts'

/** Something that gives a value; `at` is its place in the text, `source` how an error shows it. */
export type Operand = { readonly at: number; readonly source: string } & (
  | { readonly type: 'dot' }
  | { readonly type: 'nil' }
  | { readonly type: 'literal'; readonly value: string | number | boolean }
  | { readonly type: 'field'; readonly path: readonly string[] }
  | { readonly type: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly type: 'function'; readonly name: string }
  | { readonly type: 'pipe'; readonly pipe: Pipe; readonly path: readonly string[] }
)

/** Operands in a row: a value, or a function or field with its arguments. */
export interface PipeCommand {
  readonly at: number
  readonly source: string
  readonly operands: readonly Operand[]
}

/** Commands, each fed with what the one before it gave; `names` receive the result. */
export interface Pipe {
  readonly names: readonly string[]
  readonly isAssignment: boolean
  readonly commands: readonly PipeCommand[]
}

export type TemplateNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'action'; readonly pipe: Pipe }
  | {
      readonly type: 'if' | 'with' | 'range'
      readonly pipe: Pipe
      readonly body: readonly TemplateNode[]
      readonly otherwise: readonly TemplateNode[]
    }
  | { readonly type: 'break' | 'continue' }

/** A parsed template: its tree, and the text that errors point into. */
export interface Template {
  readonly name: string
  readonly text: string
  readonly nodes: readonly TemplateNode[]
}

/** Parses a template. Throws invalid-argument: `template: NAME:1: unclosed action`. */
export function parseTemplate(
  text: string,
  options: { readonly name?: string; readonly functions: readonly string[] },
): Template {
  const name = options.name ?? ''
  const parser = new Parser({ text, name, functions: options.functions, tokens: lex(text, name) })
  return { name, text, nodes: parser.parseAll() }
}

/** An error about a template, at a place in its text. */
export function templateError(where: {
  readonly name: string
  readonly text: string
  readonly at: number
  /** Where in the line; left out for what is wrong with the line as a whole. */
  readonly column?: number
  readonly what: string
}): CodedError {
  const line = where.text.slice(0, where.at).split('\n').length
  const place = where.column === undefined ? line : `${line}:${where.column}`
  return new CodedError('invalid-argument', `template: ${where.name}:${place}: ${where.what}`)
}

interface Token {
  readonly type: 'text' | 'open' | 'close' | 'field' | 'variable' | 'word' | 'literal' | 'sign'
  readonly text: string
  readonly at: number
  readonly isAfterSpace: boolean
}

/** Patterns of tokens inside {{ }}, tried in this order. */
const tokenPatterns: readonly (readonly [Token['type'], RegExp])[] = [
  ['literal', /"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)'/y],
  ['literal', /[-+]?(?:0[xX][\da-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)/y],
  ['field', /\.[\p{L}_][\p{L}\p{N}_]*/uy],
  ['variable', /\$[\p{L}\p{N}_]*/uy],
  ['word', /[\p{L}_][\p{L}\p{N}_]*/uy],
  ['sign', /:=|[=|(),.]/y],
]

function lex(text: string, name: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  let isTrimming = false
  while (at < text.length) {
    const open = text.indexOf('{{', at)
    const isOpenTrimming = open >= 0 && /^-\s/.test(text.slice(open + 2, open + 4))
    let plain = text.slice(at, open < 0 ? text.length : open)
    if (isTrimming) plain = plain.trimStart()
    if (isOpenTrimming) plain = plain.trimEnd()
    if (plain !== '') tokens.push({ type: 'text', text: plain, at, isAfterSpace: false })
    if (open < 0) break
    const action = lexAction({ text, name, start: open + (isOpenTrimming ? 3 : 2), open })
    tokens.push(...action.tokens)
    at = action.end
    isTrimming = action.isTrimming
  }
  return tokens
}

interface LexedAction {
  readonly tokens: readonly Token[]
  readonly end: number
  readonly isTrimming: boolean
}

function lexAction(where: {
  text: string
  name: string
  start: number
  open: number
}): LexedAction {
  const { text } = where
  const fail = (at: number, what: string): CodedError =>
    templateError({ name: where.name, text, at, what })
  const comment = /\s*\/\*[\s\S]*?\*\/(\s+-)?\s*\}\}/y
  comment.lastIndex = where.start
  const skipped = comment.exec(text)
  if (skipped !== null) {
    return { tokens: [], end: comment.lastIndex, isTrimming: skipped[1] !== undefined }
  }
  const tokens: Token[] = [{ type: 'open', text: '{{', at: where.open, isAfterSpace: false }]
  let at = where.start
  for (;;) {
    const spaces = /\s*/y
    spaces.lastIndex = at
    const isAfterSpace = (spaces.exec(text)?.[0] ?? '') !== ''
    at = spaces.lastIndex
    if (at >= text.length) throw fail(where.open, 'unclosed action')
    const close = /(-)?\}\}/y
    close.lastIndex = at
    const closing = close.exec(text)
    if (closing !== null && (closing[1] === undefined || isAfterSpace)) {
      tokens.push({ type: 'close', text: '}}', at, isAfterSpace })
      return { tokens, end: close.lastIndex, isTrimming: closing[1] !== undefined }
    }
    const token = lexToken(text, at)
    if (token === undefined) throw fail(at, badCharacter(text, at))
    tokens.push({ ...token, isAfterSpace })
    at += token.text.length
  }
}

function lexToken(text: string, at: number): Omit<Token, 'isAfterSpace'> | undefined {
  for (const [type, pattern] of tokenPatterns) {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) return { type, text: match[0], at }
  }
  return undefined
}

function badCharacter(text: string, at: number): string {
  const character = text.charAt(at)
  if (character === '"') return 'unterminated quoted string'
  if (character === '`') return 'unterminated raw quoted string'
  const code = (text.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return `unrecognized character in action: U+${code} '${character}'`
}

interface Source {
  readonly text: string
  readonly name: string
  readonly functions: readonly string[]
  readonly tokens: readonly Token[]
}

/** Words that end a list of nodes. */
type Ending = 'end' | 'else'

class Parser {
  readonly #source: Source
  #next = 0
  /** Variables in scope, the newest last. */
  #variables: string[] = ['$']

  constructor(source: Source) {
    this.#source = source
  }

  parseAll(): readonly TemplateNode[] {
    const { nodes, ending } = this.#parseNodes({ isInRange: false })
    if (ending !== undefined) throw this.#fail(`unexpected {{${ending}}}`)
    return nodes
  }

  #parseNodes(context: { readonly isInRange: boolean }): {
    nodes: readonly TemplateNode[]
    ending: Ending | undefined
  } {
    const nodes: TemplateNode[] = []
    for (let token = this.#take(); token !== undefined; token = this.#take()) {
      if (token.type === 'text') {
        nodes.push({ type: 'text', text: token.text })
        continue
      }
      const word = this.#peek()
      const name = word?.type === 'word' ? word.text : ''
      if (name === 'end' || name === 'else') {
        this.#take()
        if (name === 'end') this.#close()
        return { nodes, ending: name }
      }
      if (name === 'if' || name === 'with' || name === 'range') {
        this.#take()
        nodes.push(this.#parseBlock(name, context))
      } else if (name === 'break' || name === 'continue') {
        this.#take()
        if (!context.isInRange) throw this.#fail(`{{${name}}} outside {{range}}`)
        this.#close()
        nodes.push({ type: name })
      } else if (name === 'define' || name === 'template' || name === 'block') {
        throw this.#fail(`{{${name}}} is not supported`)
      } else {
        const pipe = this.#parsePipe('command', false)
        this.#close()
        nodes.push({ type: 'action', pipe })
      }
    }
    return { nodes, ending: undefined }
  }

  #parseBlock(
    type: 'if' | 'with' | 'range',
    context: { readonly isInRange: boolean },
  ): TemplateNode {
    const scope = this.#variables.length
    const inner = { isInRange: context.isInRange || type === 'range' }
    const pipe = this.#parsePipe(type, type === 'range')
    this.#close()
    const { nodes: body, ending } = this.#parseNodes(inner)
    let otherwise: readonly TemplateNode[] = []
    if (ending === 'else') {
      const word = this.#peek()
      if (word?.type === 'word' && (word.text === 'if' || word.text === 'with')) {
        this.#take()
        otherwise = [this.#parseBlock(word.text, context)]
        this.#variables = this.#variables.slice(0, scope)
        return { type, pipe, body, otherwise }
      }
      this.#close()
      const rest = this.#parseNodes(inner)
      if (rest.ending !== 'end') throw this.#fail('unexpected EOF')
      otherwise = rest.nodes
    } else if (ending === undefined) throw this.#fail('unexpected EOF')
    this.#variables = this.#variables.slice(0, scope)
    return { type, pipe, body, otherwise }
  }

  #parsePipe(context: string, isRange: boolean): Pipe {
    const declared = this.#parseDeclaration(isRange)
    const commands: PipeCommand[] = []
    for (;;) {
      const operands = this.#parseOperands()
      const first = operands[0]
      if (first === undefined) throw this.#fail(`missing value for ${context}`)
      const source = operands.map((operand) => operand.source).join(' ')
      commands.push({ at: first.at, source, operands })
      if (this.#peek()?.text !== '|') break
      this.#take()
    }
    if (!declared.isAssignment) this.#variables.push(...declared.names)
    return { ...declared, commands }
  }

  /** `$x :=`, `$x =`, or in a range `$key, $value :=`. */
  #parseDeclaration(isRange: boolean): Pick<Pipe, 'names' | 'isAssignment'> {
    const [first, sign, second, last] = this.#source.tokens.slice(this.#next, this.#next + 4)
    if (first?.type !== 'variable') return { names: [], isAssignment: false }
    if (sign?.text === ':=' || sign?.text === '=') {
      this.#next += 2
      return { names: [first.text], isAssignment: sign.text === '=' }
    }
    const isPair = isRange && sign?.text === ',' && second?.type === 'variable'
    if (!isPair || (last?.text !== ':=' && last?.text !== '=')) {
      return { names: [], isAssignment: false }
    }
    this.#next += 4
    return { names: [first.text, second.text], isAssignment: last.text === '=' }
  }

  #parseOperands(): readonly Operand[] {
    const operands: Operand[] = []
    for (;;) {
      const token = this.#peek()
      if (token === undefined || token.type === 'close' || token.text === '|') return operands
      if (token.text === ')') return operands
      this.#take()
      operands.push(this.#parseOperand(token))
    }
  }

  #parseOperand(token: Token): Operand {
    const { at, text } = token
    const second = this.#peek()
    // A chain stands where its second field stands: so says Go's parser, and so say its errors.
    const place = second?.type === 'field' && !second.isAfterSpace ? second.at : at
    switch (token.type) {
      case 'field': {
        const path = [text.slice(1), ...this.#parsePath()]
        return { type: 'field', path, at: place, source: `.${path.join('.')}` }
      }
      case 'variable': {
        if (!this.#variables.includes(text)) throw this.#fail(`undefined variable "${text}"`)
        const path = this.#parsePath()
        return { type: 'variable', name: text, path, at: place, source: [text, ...path].join('.') }
      }
      case 'literal':
        return { type: 'literal', value: literalValue(text), at, source: text }
      case 'word':
        return this.#parseWord(token)
      default:
        break
    }
    if (text === '.') return { type: 'dot', at, source: '.' }
    if (text === '(') {
      const pipe = this.#parsePipe('parenthesized pipeline', false)
      if (this.#take()?.text !== ')') throw this.#fail('unclosed left paren')
      const path = this.#parsePath()
      const inner = pipe.commands.map((command) => command.source).join(' | ')
      return { type: 'pipe', pipe, path, at, source: [`(${inner})`, ...path].join('.') }
    }
    throw this.#fail(`unexpected ${JSON.stringify(text)} in operand`)
  }

  #parseWord({ text, at }: Token): Operand {
    if (text === 'true' || text === 'false') {
      return { type: 'literal', value: text === 'true', at, source: text }
    }
    if (text === 'nil') return { type: 'nil', at, source: 'nil' }
    if (!this.#source.functions.includes(text)) {
      throw this.#fail(`function ${JSON.stringify(text)} not defined`)
    }
    return { type: 'function', name: text, at, source: text }
  }

  /** Fields that follow without a space. */
  #parsePath(): readonly string[] {
    const path: string[] = []
    for (let token = this.#peek(); token?.type === 'field'; token = this.#peek()) {
      if (token.isAfterSpace) break
      path.push(token.text.slice(1))
      this.#take()
    }
    return path
  }

  #close(): void {
    const token = this.#take()
    if (token?.type === 'close') return
    throw this.#fail(`unexpected ${JSON.stringify(token?.text ?? 'EOF')} in command`)
  }

  #peek(): Token | undefined {
    return this.#source.tokens[this.#next]
  }

  #take(): Token | undefined {
    return this.#source.tokens[this.#next++]
  }

  #fail(what: string): CodedError {
    const token = this.#source.tokens[this.#next - 1]
    const { name, text } = this.#source
    return templateError({ name, text, at: token?.at ?? text.length, what })
  }
}

function literalValue(text: string): string | number {
  if (text.startsWith('`')) return text.slice(1, -1)
  if (text.startsWith("'")) return unescapeText(text.slice(1, -1)).codePointAt(0) ?? 0
  return text.startsWith('"') ? unescapeText(text.slice(1, -1)) : Number(text)
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b' }

function unescapeText(text: string): string {
  return text.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|(.))/g,
    (_, byte?: string, unit?: string, letter?: string) => {
      const code = byte ?? unit
      if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, 16))
      return escapes[letter ?? ''] ?? letter ?? ''
    },
  )
}
