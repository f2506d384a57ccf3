// Digest: pins an image to what its tag means now, so that all nodes run the same. Clients from API
// 1.30 on do it themselves (GET /distribution, which is passed through); for older ones we ask.

import { CodedError } from '../../core/base/error.ts'
import { type Engine, parseObject } from './engine.ts'

export interface Pinned {
  /** `name:tag@sha256:...`, or the image as it came if its digest could not be learned. */
  readonly image: string
  readonly warnings: readonly string[]
}

/** A registry that has not answered by then counts as one that cannot be reached. */
const registryTimeoutMs = 10_000

/** Asks the registry, through the engine, what the image's tag stands for. Never throws. */
export async function pinImage(
  engine: Engine,
  asked: {
    readonly image: string
    readonly registryAuth: string | undefined
    readonly signal: AbortSignal
  },
): Promise<Pinned> {
  const { image } = asked
  if (image === '' || image.includes('@')) return { image, warnings: [] }
  const digest = await askDigest(engine, asked)
  return digest === undefined
    ? { image, warnings: [formatDigestWarning(image)] }
    : { image: `${withTag(image)}@${digest}`, warnings: [] }
}

async function askDigest(
  engine: Engine,
  asked: {
    readonly image: string
    readonly registryAuth: string | undefined
    readonly signal: AbortSignal
  },
): Promise<string | undefined> {
  try {
    const answer = await engine.get({
      path: `/distribution/${encodeURI(asked.image)}/json`,
      headers: asked.registryAuth === undefined ? {} : { 'X-Registry-Auth': asked.registryAuth },
      timeoutMs: registryTimeoutMs,
      signal: asked.signal,
    })
    const descriptor = parseObject(answer.body)?.['Descriptor']
    if (typeof descriptor !== 'object' || descriptor === null) return undefined
    const { digest } = descriptor as { readonly digest?: unknown }
    return typeof digest === 'string' ? digest : undefined
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}

/** The image with its tag said: a colon behind the last slash is a tag, before it a port. */
function withTag(image: string): string {
  return image.slice(image.lastIndexOf('/') + 1).includes(':') ? image : `${image}:latest`
}

/** What Docker says when the digest could not be learned. */
export function formatDigestWarning(image: string): string {
  return `image ${image} could not be accessed on a registry to record\nits digest. Each node will access ${image} independently,\npossibly leading to different nodes running different\nversions of the image.\n`
}
