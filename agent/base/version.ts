// Which Skep this is. The build writes both into the executable; run from source there is neither.

declare const SKEP_VERSION: string | undefined
declare const SKEP_COMMIT: string | undefined

/** The version of package.json, or "0.0.0-source". */
export const version: string = typeof SKEP_VERSION === 'string' ? SKEP_VERSION : '0.0.0-source'

/** The first 12 digits of the git commit, with "-dirty" if files differed from it, or "source". */
export const commit: string = typeof SKEP_COMMIT === 'string' ? SKEP_COMMIT : 'source'
