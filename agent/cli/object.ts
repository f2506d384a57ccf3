// Secrets and configs: create, ls, inspect, rm.

import { CodedError } from '../../core/base/error.ts'
import { type Api, formatFilters } from './api.ts'
import type { ObjectJson } from './api-json.ts'
import { writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf, throwAll } from './command.ts'
import { compareNatural } from './natural.ts'
import { formatJoined } from './node-pretty.ts'
import { recordOf } from './opts/list.ts'
import { formatLabels, inspectAll, type ListForm, listFormat, writeList } from './output.ts'
import { filtersOf } from './service-list.ts'
import { formatHumanDuration } from './units.ts'

/** The two kinds of object that are a piece of data under a name. */
export type ObjectKind = 'secret' | 'config'

/** What is read at most, twice the limit, so that the daemon's own limit is what users meet. */
const readSizeMax: Readonly<Record<ObjectKind, number>> = {
  secret: 2 * 500 * 1024,
  config: 2 * 1000 * 1024,
}

/** secret create */
export async function createSecret(call: Call): Promise<undefined> {
  const { args, flags } = call
  const driver = flags.text('driver')
  if (driver !== '' && args.length > 1) {
    throw exitError('When using secret driver secret data must be empty', 1)
  }
  if (driver === '' && args.length < 2) throw exitError('secret file is required', 1)
  const data = driver === '' ? await readData(call, 'secret') : undefined
  await postObject(call, 'secret', {
    ...(data === undefined ? {} : { Data: data }),
    ...(driver === '' ? {} : { Driver: { Name: driver } }),
  })
  return undefined
}

/** config create */
export async function createConfig(call: Call): Promise<undefined> {
  let data: string
  try {
    data = await readData(call, 'config')
  } catch (error) {
    const name = JSON.stringify(call.args[1] ?? '')
    throw exitError(`Error reading content from ${name}: ${messageOf(error)}`, 1)
  }
  await postObject(call, 'config', { Data: data })
  return undefined
}

async function postObject({ api, args, flags, io }: Call, kind: ObjectKind, fields: object) {
  const template = flags.text('template-driver')
  const answer = await api.post<{ readonly ID?: string }>(`/${kind}s/create`, {
    body: {
      Name: args[0] ?? '',
      Labels: recordOf(flags.all('label')),
      ...fields,
      ...(template === '' ? {} : { Templating: { Name: template } }),
    },
  })
  writeLine(io.stdout, answer.ID)
}

/** The content of the file that the second argument names, or of stdin for "-", in base64. */
async function readData({ args, io }: Call, kind: ObjectKind): Promise<string> {
  const path = args[1] ?? ''
  const source = path === '-' ? 'STDIN' : path
  const fail = (what: string): CodedError =>
    new CodedError('invalid-argument', `error reading from ${source}: ${what}`)
  let bytes: Uint8Array
  try {
    bytes =
      path === '-'
        ? await io.stdin.readAll(readSizeMax[kind])
        : await io.readFile(path, readSizeMax[kind])
  } catch (error) {
    throw fail(messageOf(error))
  }
  if (bytes.length === 0) throw fail('data is empty')
  return Buffer.from(bytes).toString('base64')
}

const forms: Readonly<Record<ObjectKind, ListForm>> = {
  secret: {
    typeName: '*secret.secretContext',
    headings: {
      ID: 'ID',
      Name: 'NAME',
      Driver: 'DRIVER',
      CreatedAt: 'CREATED',
      UpdatedAt: 'UPDATED',
      Labels: 'LABELS',
    },
    table: 'table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}',
  },
  config: {
    typeName: '*config.configContext',
    headings: {
      ID: 'ID',
      Name: 'NAME',
      CreatedAt: 'CREATED',
      UpdatedAt: 'UPDATED',
      Labels: 'LABELS',
    },
    table: 'table {{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}',
  },
}

/** secret ls, config ls */
export async function listObjects({ api, flags, io }: Call, kind: ObjectKind): Promise<undefined> {
  const filters = formatFilters(filtersOf(flags.all('filter')))
  const objects = await api.get<readonly ObjectJson[]>(`/${kind}s`, { query: { filters } })
  const sorted = objects.toSorted((one, other) =>
    compareNatural(one.Spec?.Name ?? '', other.Spec?.Name ?? ''),
  )
  const ago = (time: string | undefined): string =>
    `${formatHumanDuration(io.now() - Date.parse(time ?? ''))} ago`
  writeList(io.stdout, {
    form: forms[kind],
    format: listFormat(forms[kind], { format: flags.text('format'), isQuiet: flags.isOn('quiet') }),
    rows: sorted.map((object) => ({
      fields: {
        ID: object.ID,
        Name: object.Spec?.Name ?? '',
        ...(kind === 'secret' ? { Driver: object.Spec?.Driver?.Name ?? '' } : {}),
        CreatedAt: ago(object.CreatedAt),
        UpdatedAt: ago(object.UpdatedAt),
        Labels: formatLabels(object.Spec?.Labels),
      },
      methods: { Label: (name) => object.Spec?.Labels?.[name] ?? '' },
    })),
  })
  return undefined
}

/** secret inspect, config inspect */
export async function inspectObjects(
  { api, args, flags, io }: Call,
  kind: ObjectKind,
): Promise<undefined> {
  const format = flags.isOn('pretty') ? 'pretty' : flags.text('format')
  if (format.startsWith('pretty') && format !== 'pretty') {
    throw exitError('cannot supply extra formatting options to the pretty template', 1)
  }
  const find = (name: string) => getObject(api, kind, name)
  if (format !== 'pretty') {
    await inspectAll(io.stdout, {
      names: args,
      format,
      type: kind === 'secret' ? 'swarm.Secret' : 'swarm.Config',
      find,
    })
    return undefined
  }
  let text = ''
  for (const name of args) text += formatObject((await find(name)).value, kind)
  io.stdout.write(text)
  return undefined
}

function getObject(api: Api, kind: ObjectKind, name: string) {
  return api.getRaw<ObjectJson>(`/${kind}s/${encodeURIComponent(name)}`)
}

/** A secret or config for people, in docker's layout. */
export function formatObject(object: ObjectJson, kind: ObjectKind): string {
  const spec = object.Spec ?? {}
  const keys = Object.keys(spec.Labels ?? {}).toSorted()
  const labels = keys.map((key) => {
    const value = spec.Labels?.[key] ?? ''
    return `\n - ${key}${value === '' ? '' : `=${value}`}`
  })
  const labelText = labels.length === 0 ? '' : `\nLabels:${labels.join('')}`
  const [created, updated] = [object.CreatedAt, object.UpdatedAt].map((time) =>
    formatJoined(time ?? ''),
  )
  if (kind === 'secret') {
    return (
      `ID:              ${object.ID}\nName:              ${spec.Name ?? ''}${labelText}` +
      `\nDriver:            ${spec.Driver?.Name ?? ''}` +
      `\nCreated at:        ${created}\nUpdated at:        ${updated}\n`
    )
  }
  const data = Buffer.from(spec.Data ?? '', 'base64').toString('utf8')
  return (
    `ID:\t\t\t${object.ID}\nName:\t\t\t${spec.Name ?? ''}${labelText}` +
    `\nCreated at:            \t${created}\nUpdated at:            \t${updated}` +
    `\nData:\n${data}\n`
  )
}

/** secret rm, config rm */
export async function removeObjects({ api, args, io }: Call, kind: ObjectKind): Promise<undefined> {
  const errors: string[] = []
  for (const name of args) {
    try {
      await api.delete(`/${kind}s/${encodeURIComponent(name)}`)
      writeLine(io.stdout, name)
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  throwAll(errors)
  return undefined
}
