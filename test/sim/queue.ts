// The future of a simulated world: a binary heap of events by time, then by order of arrival.
// Times stand in arrays of their own, since comparing them is most of what a simulator does.

export interface Queue<T> {
  readonly push: (at: number, item: T) => void
  /** The next event; `time()` is then its time. */
  readonly pop: () => T | undefined
  readonly time: () => number
}

export function makeQueue<T>(): Queue<T> {
  let times = new Float64Array(1024)
  let orders = new Float64Array(1024)
  const items: T[] = []
  let size = 0
  let order = 0
  let now = 0
  const push = (at: number, item: T): void => {
    if (size === times.length) {
      times = grow(times)
      orders = grow(orders)
    }
    const place = order++
    let hole = size++
    // A new event is the last among those of its time, so only an earlier time moves it up.
    while (hole > 0) {
      const above = (hole - 1) >> 1
      const time = times[above] as number
      if (time <= at) break
      times[hole] = time
      orders[hole] = orders[above] as number
      items[hole] = items[above] as T
      hole = above
    }
    times[hole] = at
    orders[hole] = place
    items[hole] = item
  }
  const pop = (): T | undefined => {
    if (size === 0) return undefined
    const first = items[0]
    now = times[0] as number
    size--
    const at = times[size] as number
    const place = orders[size] as number
    const item = items[size] as T
    items.length = size
    if (size === 0) return first
    let hole = 0
    for (;;) {
      let below = 2 * hole + 1
      if (below >= size) break
      let time = times[below] as number
      const right = below + 1
      if (right < size) {
        const other = times[right] as number
        if (
          other < time ||
          (other === time && (orders[right] as number) < (orders[below] as number))
        ) {
          below = right
          time = other
        }
      }
      if (time > at || (time === at && (orders[below] as number) > place)) break
      times[hole] = time
      orders[hole] = orders[below] as number
      items[hole] = items[below] as T
      hole = below
    }
    times[hole] = at
    orders[hole] = place
    items[hole] = item
    return first
  }
  return { push, pop, time: () => now }
}

function grow(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * array.length)
  larger.set(array)
  return larger
}
