// version: of this program, and of the daemon that answers.

import { CodedError } from '../../core/base/error.ts'
import { version as programVersion } from '../base/version.ts'
import { apiVersionMax } from './api.ts'
import { writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf } from './command.ts'
import { formatGo } from './go-print.ts'
import { formatJson } from './json-text.ts'
import { alignColumns, versionShape } from './table.ts'
import { compileTemplate, runTemplate } from './template.ts'

interface ComponentJson {
  readonly Name?: string
  readonly Version?: string
  readonly Details?: Readonly<Record<string, string>> | null
}

interface ServerVersionJson {
  readonly Platform?: { readonly Name?: string }
  readonly Version?: string
  readonly ApiVersion?: string
  readonly MinAPIVersion?: string
  readonly Os?: string
  readonly Arch?: string
  readonly Components?: readonly ComponentJson[] | null
}

/** What --version prints. */
export function formatVersionLine(): string {
  return `Skep agent version ${programVersion}`
}

/**
 * version: our half is shown even when no daemon answers. On a machine where none was started yet
 * that is no error; what else goes wrong is, after our half.
 */
export async function showVersion({ api, flags, io }: Call): Promise<number> {
  const format = flags.text('format')
  const template = format === '' || format === 'json' ? undefined : compileVersionTemplate(format)
  let server: ServerVersionJson | undefined
  let error: unknown
  try {
    server = await api.get<ServerVersionJson>('/version')
  } catch (caught) {
    error = caught
  }
  const client = {
    Version: programVersion,
    ApiVersion: server === undefined ? apiVersionMax : await api.version(),
    DefaultAPIVersion: apiVersionMax,
    NodeVersion: process.version,
    Os: process.platform,
    Arch: process.arch === 'x64' ? 'amd64' : process.arch,
  }
  const data = { Client: client, Server: server ?? null }
  if (format === 'json') io.stdout.write(`${formatJson(data, { isHtmlSafe: false })}\n`)
  else if (template !== undefined) io.stdout.write(`${runTemplate(template, data)}\n`)
  else io.stdout.write(`${alignColumns(formatVersions(client, server), versionShape)}\n`)
  if (error === undefined) return 0
  if (error instanceof CodedError && error.detail['isConnect'] === true) {
    if (format === '') writeLine(io.stdout, `\nServer: none answers at ${api.host}`)
    return 0
  }
  throw exitError(messageOf(error), 1)
}

function compileVersionTemplate(format: string) {
  try {
    return compileTemplate(format, { name: 'version' })
  } catch (error) {
    throw exitError(`template parsing error: ${messageOf(error)}`, 64)
  }
}

function formatVersions(
  client: Readonly<Record<string, string>>,
  server: ServerVersionJson | undefined,
): string {
  const isLowered = client['ApiVersion'] !== client['DefaultAPIVersion']
  const lowered = isLowered ? ` (downgraded from ${client['DefaultAPIVersion']})` : ''
  const lines = [
    'Client:',
    ` Version:\t${client['Version']}`,
    ` API version:\t${client['ApiVersion']}${lowered}`,
    ` Node version:\t${client['NodeVersion']}`,
    ` OS/Arch:\t${client['Os']}/${client['Arch']}`,
  ]
  if (server === undefined) return lines.join('\n')
  const name = server.Platform?.Name ?? ''
  lines.push('', `Server:${name === '' ? '' : ` ${name}`}`)
  const components = server.Components ?? []
  const hasEngine = components.some((component) => component.Name === 'Engine')
  for (const component of hasEngine ? components : [engineOf(server), ...components]) {
    lines.push(` ${component.Name ?? ''}:`, ...formatComponent(component))
  }
  return lines.join('\n')
}

function engineOf(server: ServerVersionJson): ComponentJson {
  return {
    Name: 'Engine',
    Version: server.Version ?? '',
    Details: {
      ApiVersion: server.ApiVersion ?? '',
      MinAPIVersion: server.MinAPIVersion ?? '',
      Os: server.Os ?? '',
      Arch: server.Arch ?? '',
    },
  }
}

function formatComponent(component: ComponentJson): readonly string[] {
  const details = component.Details ?? {}
  const text = (key: string): string => details[key] ?? ''
  const version = `  Version:\t${component.Version ?? ''}`
  if (component.Name !== 'Engine') {
    const keys = Object.keys(details).toSorted()
    return [version, ...keys.map((key) => `  ${key}:\t${formatGo(details[key])}`)]
  }
  const built = Date.parse(text('BuildTime'))
  return [
    version,
    `  API version:\t${text('ApiVersion')} (minimum version ${text('MinAPIVersion')})`,
    ...optional('Go version', text('GoVersion')),
    ...optional('Git commit', text('GitCommit')),
    ...optional('Built', Number.isNaN(built) ? text('BuildTime') : formatBuilt(built)),
    `  OS/Arch:\t${text('Os')}/${text('Arch')}`,
    ...optional('Experimental', text('Experimental')),
  ]
}

function optional(label: string, value: string): readonly string[] {
  return value === '' ? [] : [`  ${label}:\t${value}`]
}

/** A time as C's asctime has it: "Thu May  7 21:09:36 2026". */
function formatBuilt(ms: number): string {
  const [weekday, day = '', month, year, clock] = new Date(ms)
    .toUTCString()
    .replace(',', '')
    .split(' ')
  return `${weekday} ${month} ${day.replace(/^0/, ' ').padStart(2)} ${clock} ${year}`
}
