// Version: which versions of the Docker Engine API we speak, and how a version is passed on.
//
//   client asks v1.47 -> our routes (1.24 .. newest) -> engine speaks 1.41 -> path becomes v1.41
//
// Clients take the version of `/_ping` and refuse servers that are too old for them (engine 29's
// client wants 1.44), so we never offer less than that, whatever the engine behind us speaks.

import { CodedError } from '../../core/base/error.ts'

/** Oldest version that is answered. Older Traefiks are fixed at it. */
export const apiVersionMin = '1.24'

/** What we offer at the least, however old the engine is. */
const apiVersionFloor = '1.44'

/** Newest version that our routes speak. */
const apiVersionNewest = '1.51'

/** Negative, 0 or positive, as `a` is older than, the same as or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)]
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** True if the version is older than the other. */
export function isOlder(version: string, other: string): boolean {
  return compareVersions(version, other) < 0
}

/** The version we offer with an engine of that version behind us (undefined: none). */
export function offeredVersion(engineVersion: string | undefined): string {
  if (engineVersion === undefined || isOlder(engineVersion, apiVersionFloor)) return apiVersionFloor
  return isOlder(apiVersionNewest, engineVersion) ? apiVersionNewest : engineVersion
}

/** Throws bad-request, in Docker's words, for a version that we do not speak. */
export function checkVersion(asked: string, offered: string): void {
  if (isOlder(asked, apiVersionMin)) {
    throw new CodedError(
      'bad-request',
      `client version ${asked} is too old. Minimum supported API version is ${apiVersionMin}, please upgrade your client to a newer version`,
    )
  }
  if (isOlder(offered, asked)) {
    throw new CodedError(
      'bad-request',
      `client version ${asked} is too new. Maximum supported API version is ${offered}`,
    )
  }
}

/** `/v1.47/containers/json?all=1` -> version 1.47 and the rest; no version if there is none. */
export function splitVersion(url: string): { readonly version?: string; readonly rest: string } {
  const match = /^\/v(\d+(?:\.\d+)*)(?=\/)/.exec(url)
  const version = match?.[1]
  if (match === null || version === undefined) return { rest: url }
  return { version, rest: url.slice(match[0].length) }
}

/** The same path in the nearest version that an engine of these limits speaks. */
export function pathForEngine(
  url: string,
  engine: { readonly min: string; readonly max: string } | undefined,
): string {
  const { version, rest } = splitVersion(url)
  if (version === undefined || engine === undefined) return url
  if (isOlder(engine.max, version)) return `/v${engine.max}${rest}`
  if (isOlder(version, engine.min)) return `/v${engine.min}${rest}`
  return url
}
