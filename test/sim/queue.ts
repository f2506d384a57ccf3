// The future of a simulated world: a binary heap of events by time, then by order of arrival.

export interface Timed {
  readonly at: number
  order: number
}

export interface Queue<T extends Timed> {
  readonly push: (event: T) => void
  readonly pop: () => T | undefined
  readonly size: () => number
}

export function makeQueue<T extends Timed>(): Queue<T> {
  const heap: T[] = []
  let order = 0
  const isBefore = (a: T, b: T): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
  const push = (event: T): void => {
    event.order = order++
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above] as T
      if (!isBefore(event, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = event
  }
  const pop = (): T | undefined => {
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    const size = heap.length
    for (;;) {
      let below = 2 * at + 1
      if (below >= size) break
      if (below + 1 < size && isBefore(heap[below + 1] as T, heap[below] as T)) below++
      const child = heap[below] as T
      if (!isBefore(child, last)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
    return first
  }
  return { push, pop, size: () => heap.length }
}
