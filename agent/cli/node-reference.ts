// "self" as the name of a node: the one that answers.

import { CodedError } from '../../core/base/error.ts'
import type { Api } from './api.ts'
import type { SwarmInfoJson } from './api-json.ts'

/** The id for "self", and any other name as it is. */
export async function nodeReference(api: Api, name: string): Promise<string> {
  if (name !== 'self') return name
  const info = await api.get<{ readonly Swarm?: SwarmInfoJson }>('/info')
  const id = info.Swarm?.NodeID ?? ''
  if (id !== '') return id
  // A node without an id is in no swarm: asking for the nodes gets the daemon's own words for that.
  await api.get('/nodes')
  throw new CodedError('not-found', 'node ID not found in /info')
}
