// Size of plain data: about what it takes as MessagePack. For budgets of queues and logs, which
// must not cost an encoding.

/** About how many bytes the value takes when encoded; within a quarter for our objects. */
export function estimateSize(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return value.length + 2
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 128 ? 1 : 9
    case 'object':
      break
    default:
      return 1
  }
  if (value === null) return 1
  if (value instanceof Uint8Array) return value.length + 5
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + estimateSize(item), 3)
  let sum = 3
  for (const [key, item] of Object.entries(value)) sum += key.length + 1 + estimateSize(item)
  return sum
}
