// Image references as people write them: "nginx" stands for docker.io/library/nginx:latest. Here they
// get the tag that is meant, lose the digest for display, and gain it when a registry knows it.

import type { Api } from './api.ts'
import type { PlatformJson, ServiceSpecJson } from './api-json.ts'
import { messageOf } from './command.ts'

interface Reference {
  readonly name: string
  readonly tag?: string
  readonly digest?: string
}

const form =
  /^((?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d+)?\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)(?::([\w][\w.-]{0,127}))?(?:@([a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}))?$/

function parseReference(image: string): Reference | undefined {
  if (/^[0-9a-f]{64}$/.test(image)) return undefined
  const parts = form.exec(image)
  if (parts?.[1] === undefined) return undefined
  const name = parts[1].replace(/^(index\.)?docker\.io\//, '').replace(/^library\/(?=[^/]+$)/, '')
  return {
    name,
    ...(parts[2] === undefined ? {} : { tag: parts[2] }),
    ...(parts[3] === undefined ? {} : { digest: parts[3] }),
  }
}

/** The image with the tag `latest` when it names neither tag nor digest. */
export function withDefaultTag(image: string): string {
  const reference = parseReference(image)
  if (reference === undefined) return image
  const isBare = reference.tag === undefined && reference.digest === undefined
  return formatReference(isBare ? { ...reference, tag: 'latest' } : reference)
}

/** The image as lists show it: without its digest, if it has a tag. */
export function displayImage(image: string): string {
  const reference = parseReference(image)
  return reference?.tag === undefined ? image : `${reference.name}:${reference.tag}`
}

function formatReference({ name, tag, digest }: Reference): string {
  return name + (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
}

interface DistributionJson {
  readonly Descriptor?: { readonly digest?: string }
  readonly Platforms?: readonly { readonly architecture?: string; readonly os?: string }[] | null
}

/**
 * The spec with its image tagged and, when `isResolving` and a registry answers, pinned by digest with
 * the platforms it runs on. Without an answer the warning says so, in Swarm's words.
 */
export async function resolveImage(
  api: Api,
  spec: ServiceSpecJson,
  options: { readonly isResolving: boolean; readonly auth: string },
): Promise<{ readonly spec: ServiceSpecJson; readonly warnings: readonly string[] }> {
  const task = spec.TaskTemplate ?? {}
  const image = withDefaultTag(task.ContainerSpec?.Image ?? '')
  const placed = (name: string, platforms: readonly PlatformJson[]): ServiceSpecJson => ({
    ...spec,
    TaskTemplate: {
      ...task,
      ContainerSpec: { ...task.ContainerSpec, Image: name },
      ...(platforms.length === 0 ? {} : { Placement: { ...task.Placement, Platforms: platforms } }),
    },
  })
  if (!options.isResolving) return { spec: placed(image, []), warnings: [] }
  try {
    const answer = await api.get<DistributionJson>(`/distribution/${encodePath(image)}/json`, {
      headers: options.auth === '' ? {} : { 'X-Registry-Auth': options.auth },
    })
    return { spec: placed(withDigest(image, answer), platformsOf(answer)), warnings: [] }
  } catch (error) {
    messageOf(error)
    return { spec: placed(image, []), warnings: [digestWarning(image)] }
  }
}

/** A name stands in the path with its slashes; what is no name is for the daemon to refuse. */
function encodePath(image: string): string {
  return encodeURI(image).replaceAll('?', '%3F').replaceAll('#', '%23')
}

function withDigest(image: string, answer: DistributionJson): string {
  const reference = parseReference(image)
  const digest = answer.Descriptor?.digest
  if (reference === undefined || reference.digest !== undefined || digest === undefined)
    return image
  return formatReference({ ...reference, digest })
}

/** Platforms without doubles and attestations; "arm" is left open, as nodes name its variants. */
function platformsOf(answer: DistributionJson): readonly PlatformJson[] {
  const platforms = new Map<string, PlatformJson>()
  for (const { architecture = '', os = '' } of answer.Platforms ?? []) {
    if (architecture === 'unknown' || os === 'unknown') continue
    const shown = architecture.toLowerCase() === 'arm' ? '' : architecture
    platforms.set(`${os}/${shown}`, {
      ...(shown === '' ? {} : { Architecture: shown }),
      ...(os === '' ? {} : { OS: os }),
    })
  }
  return [...platforms.values()]
}

function digestWarning(image: string): string {
  return [
    `image ${image} could not be accessed on a registry to record`,
    `its digest. Each node will access ${image} independently,`,
    'possibly leading to different nodes running different',
    'versions of the image.',
    '',
  ].join('\n')
}
