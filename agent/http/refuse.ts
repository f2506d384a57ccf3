// Refuse: routes of Swarm's API that this build knows and does not honour. They say so, after the
// checks that a real one makes first, so that scripts see the order of errors they know.

import { CodedError } from '../../core/base/error.ts'
import type { Handler } from './call.ts'

/** A handler that answers not-supported, naming the thing. */
export function refuse(what: string): Handler {
  return async (call) => {
    const { state } = call.api.backend.state()
    const path = new URL(call.request.url ?? '/', 'http://agent').pathname
    // Joining and unlocking are asked of nodes that serve nothing yet.
    if (!/\/swarm\/(join|unlock)$/.test(path)) await call.api.backend.read()
    throw new CodedError(
      'not-supported',
      `${what}: not available in this version of the agent (this node is ${state}); a cluster has one node`,
    )
  }
}
