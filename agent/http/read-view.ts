// Read view: how routes that only show something come to what they show. While no manager leads,
// they show what this one knows, and say so in a header; who does not want that says so too.
//
//   Skep-Stale: 5120          answer: for so many milliseconds there has been no leader
//   Skep-Read: strict         request: up to date or not at all (status 503)

import { CodedError } from '../../core/base/error.ts'
import type { View } from '../../core/store/view.ts'
import type { Call } from './call.ts'

const staleHeader = 'Skep-Stale'
const waitedFor: readonly string[] = ['no-leader', 'timeout']

/** A view for reading. Throws what Backend.read throws; `unavailable` if none is up to date. */
export async function readView({ api, request, response }: Call): Promise<View> {
  try {
    return await api.backend.read()
  } catch (error) {
    if (!(error instanceof CodedError) || !waitedFor.includes(error.code)) throw error
    if (request.headers['skep-read'] === 'strict') {
      throw new CodedError('unavailable', error.message, { cause: error })
    }
    const { view, ageMs } = api.backend.stale()
    // One that has not read its log yet knows nothing at all.
    if (view.cluster() === undefined) throw error
    response.setHeader(staleHeader, ageMs)
    return view
  }
}
