// --with-registry-auth: the credentials that `docker login` left for an image's registry, in the form
// that the API's X-Registry-Auth header has. Credential helpers are other programs and are not run.

import { CodedError } from '../../core/base/error.ts'
import type { CliIo } from './cli-io.ts'

interface DockerConfig {
  readonly auths?: Readonly<
    Record<string, { readonly auth?: string; readonly identitytoken?: string }>
  >
  readonly credsStore?: string
  readonly credHelpers?: Readonly<Record<string, string>>
}

const hubKey = 'https://index.docker.io/v1/'

/** The header for an image's registry; that of an empty login when there is none. */
export async function registryAuth(io: CliIo, image: string): Promise<string> {
  const folder = io.env['DOCKER_CONFIG'] ?? `${io.env['HOME'] ?? ''}/.docker`
  const config = await readConfig(io, `${folder}/config.json`)
  const first = image.split('/')[0] ?? ''
  const isHost = image.includes('/') && /[.:]|^localhost$/.test(first)
  const key = isHost && !/^(index\.)?docker\.io$/.test(first) ? first : hubKey
  const helper = config.credHelpers?.[key] ?? config.credsStore
  if (helper !== undefined) {
    throw new CodedError(
      'not-supported',
      `--with-registry-auth: the credentials of ${key} are kept by the helper docker-credential-${helper}, which is not run; log in with a config file that holds them, and name its folder in DOCKER_CONFIG`,
    )
  }
  const login = config.auths?.[key]
  const [user = '', password = ''] = splitOnce(
    Buffer.from(login?.auth ?? '', 'base64').toString('utf8'),
  )
  const header = {
    ...(user === '' ? {} : { username: user, password }),
    ...(login?.identitytoken === undefined ? {} : { identitytoken: login.identitytoken }),
    ...(login === undefined ? {} : { serveraddress: key }),
  }
  return Buffer.from(JSON.stringify(header)).toString('base64url')
}

async function readConfig(io: CliIo, path: string): Promise<DockerConfig> {
  let text: string
  try {
    text = new TextDecoder().decode(await io.readFile(path))
  } catch {
    // No file means that nobody has logged in.
    return {}
  }
  try {
    const config: unknown = JSON.parse(text)
    return typeof config === 'object' && config !== null ? (config as DockerConfig) : {}
  } catch (cause) {
    throw new CodedError('invalid-argument', `${path} is not JSON: ${cause}`, { cause })
  }
}

function splitOnce(login: string): readonly string[] {
  const at = login.indexOf(':')
  return at < 0 ? [login] : [login.slice(0, at), login.slice(at + 1)]
}
