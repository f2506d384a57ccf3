// The refusal of a cluster without a leader, in Swarm's words: users and scripts know them.

import { CodedError } from './error.ts'

/** `isUntried`: certainly nothing was done, and it may be tried again. */
export function noLeader(detail: { readonly isUntried?: true } = {}): CodedError {
  return new CodedError(
    'no-leader',
    "The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.",
    { detail },
  )
}
