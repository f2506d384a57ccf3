// JSON as Go writes it: `&`, `<` and `>` escaped where Go escapes them, and an indenter that works on
// the text itself, so that `inspect` shows the daemon's own bytes: numbers of any size, keys in order.

/** A value as JSON in one line. `isHtmlSafe` escapes &, <, > as Go's encoder does by default. */
export function formatJson(value: unknown, options: { isHtmlSafe: boolean }): string {
  const text = JSON.stringify(value) ?? 'null'
  const lines = text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
  return options.isHtmlSafe ? lines.replace(/[&<>]/g, escapeHtml) : lines
}

function escapeHtml(character: string): string {
  return `\\u00${character.charCodeAt(0).toString(16)}`
}

/** Spreads JSON over lines with four spaces a level; empty lists and objects stay `[]` and `{}`. */
export function indentJson(text: string): string {
  let output = ''
  let depth = 0
  const newline = (): string => `\n${'    '.repeat(depth)}`
  const tokens = tokensOf(text)
  tokens.forEach((token, at) => {
    const previous = tokens[at - 1]
    const next = tokens[at + 1]
    if (token === '{' || token === '[') {
      depth++
      output += token
      if (next !== '}' && next !== ']') output += newline()
    } else if (token === '}' || token === ']') {
      depth--
      output += previous === '{' || previous === '[' ? token : newline() + token
    } else if (token === ',') output += token + newline()
    else output += token === ':' ? ': ' : token
  })
  return output
}

/** Takes white space out of JSON text. */
export function compactJson(text: string): string {
  return tokensOf(text).join('')
}

function tokensOf(text: string): readonly string[] {
  return text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []
}
