// The optimistic lock of the API: who updates an object says which version was read.

import { CodedError } from '../base/error.ts'

/** Throws out-of-sequence, in Swarm's words, unless the object still has that version. */
export function checkVersion(object: { readonly version: number }, version: number): void {
  if (object.version === version) return
  throw new CodedError('out-of-sequence', 'update out of sequence', {
    detail: { version, newest: object.version },
  })
}
