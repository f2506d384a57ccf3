// Image references: [DOMAIN[:PORT]/]PATH[:TAG][@DIGEST]. A name without a domain is one of Docker
// Hub, and one without a path there is one of its library: "nginx" is docker.io/library/nginx.

/** The parts of a reference, with what its short form leaves out. */
export interface ImageReference {
  /** Host and port of the registry, e.g. "docker.io" or "localhost:5000". */
  readonly domain: string
  readonly path: string
  readonly tag?: string
  /** "sha256:" and hex digits. */
  readonly digest?: string
}

const domainPart = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
const domainPattern = new RegExp(
  `^(?:${domainPart}(?:\\.${domainPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`,
)
const pathPart = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const pathPattern = new RegExp(`^${pathPart}(?:/${pathPart})*$`)
const tagPattern = /^\w[\w.-]{0,127}$/
const hexDigits: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 }

/** Characters of a path, the registries' own limit. */
const pathCharactersMax = 255

/** Parses a reference; undefined for a text that is none. */
export function parseImage(text: string): ImageReference | undefined {
  if (/^[a-f0-9]{64}$/.test(text)) return undefined
  const { domain, rest } = splitDomain(text)
  const [nameAndTag, digest, ...more] = rest.split('@')
  if (nameAndTag === undefined || more.length > 0) return undefined
  const colon = nameAndTag.indexOf(':')
  const path = colon < 0 ? nameAndTag : nameAndTag.slice(0, colon)
  const tag = colon < 0 ? undefined : nameAndTag.slice(colon + 1)
  if (!domainPattern.test(domain) || !pathPattern.test(path)) return undefined
  if (path.length > pathCharactersMax) return undefined
  if (tag !== undefined && !tagPattern.test(tag)) return undefined
  if (digest !== undefined && !isDigest(digest)) return undefined
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }
}

function splitDomain(text: string): { readonly domain: string; readonly rest: string } {
  const slash = text.indexOf('/')
  const first = slash < 0 ? '' : text.slice(0, slash)
  const isDomain =
    first !== '' && (first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase())
  const domain = !isDomain || first === 'index.docker.io' ? 'docker.io' : first
  const rest = isDomain ? text.slice(slash + 1) : text
  return { domain, rest: domain === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest }
}

function isDigest(digest: string): boolean {
  const [algorithm, hex, ...more] = digest.split(':')
  if (algorithm === undefined || hex === undefined || more.length > 0) return false
  return hexDigits[algorithm] === hex.length && /^[a-f0-9]+$/.test(hex)
}
