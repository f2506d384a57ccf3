// TypeScript read as text: which characters are code, and which only look like it.
//
// A rule such as "core names no Date" must not trip over a comment, a message or a pattern. So we
// walk the file once and blank out comments, strings, template texts and patterns, character by
// character; lines and columns stay where they were. No parser: it relies on formatted code.

/** An import or re-export of a file, wherever in it. */
export interface Import {
  readonly line: number
  readonly path: string
  /** `import type` or `export type`: gone when the program runs. */
  readonly isType: boolean
  /** `import('...')`: only loaded when the program comes by. */
  readonly isLazy: boolean
}

export interface SourceText {
  readonly lines: readonly string[]
  /** The same lines with everything but code blanked. */
  readonly code: readonly string[]
  readonly imports: readonly Import[]
}

/** After these a slash begins a pattern; after a name, a number or a bracket it divides. */
const beforePattern = /(^|[(,=:[!&|?{};+\-*%<>~^]|\b(return|typeof|case|in|of|do|else|void|yield))$/

export function readSourceText(text: string): SourceText {
  const masked = mask(text)
  return { lines: text.split('\n'), code: masked.split('\n'), imports: importsOf(text, masked) }
}

function mask(text: string): string {
  const out = [...text.split('')]
  const blank = (from: number, to: number): void => {
    for (let at = from; at < to; at++) if (out[at] !== '\n') out[at] = ' '
  }
  // Depth of braces for each template expression that we are in, innermost last.
  const templates: number[] = []
  let at = 0
  let significant = ''
  while (at < text.length) {
    const char = text[at] ?? ''
    const pair = text.slice(at, at + 2)
    let end = at + 1
    if (pair === '//') {
      end = indexOrEnd(text, '\n', at)
      blank(at, end)
    } else if (pair === '/*') {
      end = Math.min(text.length, indexOrEnd(text, '*/', at + 2) + 2)
      blank(at, end)
    } else if (char === "'" || char === '"') {
      end = endOfQuoted(text, at + 1, char)
      blank(at + 1, end - 1)
      significant = char
    } else if (char === '`' || (char === '}' && templates.at(-1) === 0)) {
      if (char === '}') templates.pop()
      end = endOfTemplateText(text, at + 1)
      if (text[end - 1] === '{') templates.push(0)
      blank(at, end)
      significant = text[end - 1] === '{' ? '(' : 'x'
    } else if (char === '/' && beforePattern.test(significant)) {
      end = endOfPattern(text, at + 1)
      blank(at, end)
      significant = 'x'
    } else {
      const depth = templates.at(-1)
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1
      if (depth !== undefined && char === '}') templates[templates.length - 1] = depth - 1
      if (!/\s/.test(char)) significant = /\w/.test(char) ? wordSoFar(text, at) : char
    }
    at = end
  }
  return out.join('')
}

function wordSoFar(text: string, at: number): string {
  let start = at
  while (start > 0 && /\w/.test(text[start - 1] ?? '')) start -= 1
  return text.slice(start, at + 1)
}

function indexOrEnd(text: string, what: string, from: number): number {
  const index = text.indexOf(what, from)
  return index === -1 ? text.length : index
}

function endOfQuoted(text: string, from: number, quote: string): number {
  let at = from
  while (at < text.length && text[at] !== quote && text[at] !== '\n')
    at += text[at] === '\\' ? 2 : 1
  return Math.min(text.length, at + 1)
}

/** Just behind the closing backquote, or behind the `${` that opens an expression. */
function endOfTemplateText(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at += 1
    else if (text[at] === '`') return at + 1
    else if (text[at] === '$' && text[at + 1] === '{') return at + 2
  }
  return text.length
}

function endOfPattern(text: string, from: number): number {
  let isInClass = false
  for (let at = from; at < text.length && text[at] !== '\n'; at++) {
    const char = text[at]
    if (char === '\\') at += 1
    else if (char === '[') isInClass = true
    else if (char === ']') isInClass = false
    else if (char === '/' && !isInClass) return at + 1
  }
  return from
}

/** `import ... from`, `export ... from`, `import '...'`, `import('...')`, getBuiltinModule('...'). */
const importPattern =
  /\b(import|export)(\s+type\b)?[\s\w{},*$]*?\bfrom\s*(['"])|\b(?:import|getBuiltinModule|require)\s*(\()?\s*(['"])/g

function importsOf(text: string, masked: string): Import[] {
  const found: Import[] = []
  for (const match of masked.matchAll(importPattern)) {
    const start = match.index + match[0].length
    const quote = match[3] ?? match[5] ?? "'"
    const path = text.slice(start, text.indexOf(quote, start))
    const line = text.slice(0, match.index).split('\n').length
    found.push({ line, path, isType: match[2] !== undefined, isLazy: match[4] !== undefined })
  }
  return found
}
