// Image references, as people write them and as the engine wants them.
//
//   docker.io/library/nginx:1.27@sha256:...      people may leave out all but `nginx`
//   [registry] / [path]     :tag [@digest]

/** A reference taken apart. `name` is short, as Docker shows it: `nginx`, `bitnami/redis`. */
export interface ImageReference {
  readonly name: string
  /** Host the image is pulled from: `docker.io`, `registry.example:5000`. */
  readonly registry: string
  readonly tag?: string
  readonly digest?: string
}

const defaultRegistry = 'docker.io'

/** Takes a reference apart; no check of its characters, the engine does that. */
export function parseImage(source: string): ImageReference {
  const [named = '', digest] = source.split('@', 2)
  const slash = named.lastIndexOf('/')
  const colon = named.indexOf(':', slash + 1)
  const path = colon === -1 ? named : named.slice(0, colon)
  const tag = colon === -1 ? undefined : named.slice(colon + 1)
  const { registry, rest } = splitRegistry(path)
  return {
    name: registry === defaultRegistry ? rest.replace(/^library\//, '') : `${registry}/${rest}`,
    registry,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }
}

/** As Docker shows it, with the tag that absence means: `nginx` is `nginx:latest`. */
export function formatImage(image: ImageReference): string {
  const tag = image.tag ?? (image.digest === undefined ? 'latest' : undefined)
  const digest = image.digest === undefined ? '' : `@${image.digest}`
  return `${image.name}${tag === undefined ? '' : `:${tag}`}${digest}`
}

/** True for an image's own id (`sha256:...`), which no registry knows. */
export function isImageId(source: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(source)
}

/** The first part is a registry only if it looks like a host. */
function splitRegistry(path: string): { registry: string; rest: string } {
  const slash = path.indexOf('/')
  const first = path.slice(0, Math.max(slash, 0))
  const isHost = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase()
  if (slash === -1 || !isHost) return { registry: defaultRegistry, rest: path }
  const registry = first === 'index.docker.io' ? defaultRegistry : first
  return { registry, rest: path.slice(slash + 1) }
}
