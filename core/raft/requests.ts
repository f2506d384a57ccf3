// Requests that were appended, by the id that their proposer gave them (thesis 6.3).
//
// A client that hears nothing asks again, perhaps a new leader. Whatever the first attempt left
// in the log stands here, with the log: noted at append, taken back with a truncation, carried in
// snapshots. So one log never holds a request twice within the window.

import type { Placed } from './types.ts'

export interface Requests {
  readonly places: Map<string, Placed>
}

export function makeRequests(places: readonly Placed[]): Requests {
  return { places: new Map(places.map((placed) => [placed.request, placed])) }
}

/** Newest last: Map keeps the order of insertion, which is the order of the log. */
export function noteRequest(requests: Requests, placed: Placed): void {
  requests.places.set(placed.request, placed)
}

export function findRequest(requests: Requests, request: string): Placed | undefined {
  return requests.places.get(request)
}

/** Takes back what stood in entries that are cut. */
export function cutRequests(requests: Requests, from: number): void {
  for (const placed of [...requests.places.values()].reverse()) {
    if (placed.index < from) return
    requests.places.delete(placed.request)
  }
}

/** Forgets the oldest, but never one that is not committed: it might be cut, and another return. */
export function trimRequests(requests: Requests, commit: number, kept: number): void {
  for (const placed of requests.places.values()) {
    if (requests.places.size <= kept || placed.index > commit) return
    requests.places.delete(placed.request)
  }
}

/** What stands in a snapshot at `index`. */
export function requestsUpTo(requests: Requests, index: number): readonly Placed[] {
  const places: Placed[] = []
  for (const placed of requests.places.values()) {
    if (placed.index > index) break
    places.push(placed)
  }
  return places
}
