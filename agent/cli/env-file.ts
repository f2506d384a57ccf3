// Files of `NAME=value` lines for --env-file. Blank lines and lines that start with # are skipped; a
// name alone takes its value from our own environment, and is skipped when it has none.

import { CodedError } from '../../core/base/error.ts'
import type { CliIo } from './cli-io.ts'
import { cut } from './opts/list.ts'

/** The variables of all files, in order. Throws when a file or a line of it cannot be read. */
export async function readEnvFiles(
  io: CliIo,
  paths: readonly string[],
): Promise<readonly string[]> {
  const variables: string[] = []
  for (const path of paths) {
    const bytes = await io.readFile(path)
    variables.push(...parseEnvFile(bytes, { path, env: io.env }))
  }
  return variables
}

function parseEnvFile(
  bytes: Uint8Array,
  file: { readonly path: string; readonly env: Readonly<Record<string, string | undefined>> },
): readonly string[] {
  const fail = (what: string): CodedError =>
    new CodedError('invalid-argument', `invalid env file (${file.path}): ${what}`)
  return decodeUtf8(bytes, fail)
    .split(/\r?\n/)
    .flatMap((raw) => {
      const line = raw.trimStart()
      if (line === '' || line.startsWith('#')) return []
      const { before: name, isCut } = cut(line, '=')
      if (name === '') throw fail(`no variable name on line '${line}'`)
      if (/[ \t]/.test(name)) throw fail(`variable '${name}' contains whitespaces`)
      if (isCut) return [line]
      const value = file.env[name]
      return value === undefined ? [] : [`${name}=${value}`]
    })
}

function decodeUtf8(bytes: Uint8Array, fail: (what: string) => CodedError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw fail('it is not valid UTF-8')
  }
}
