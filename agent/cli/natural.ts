// Order of names as people read them: web.2 before web.10. Digits stand before other characters,
// runs of digits are compared as numbers, and leading zeros only break ties.

/** Compares two texts; negative when the first comes first. */
export function compareNatural(one: string, other: string): number {
  const ones = one.match(parts) ?? []
  const others = other.match(parts) ?? []
  for (let at = 0; at < Math.min(ones.length, others.length); at++) {
    const order = comparePart(ones[at] ?? '', others[at] ?? '')
    if (order !== 0) return order
  }
  return ones.length - others.length
}

/** A run of digits, or one other character. */
const parts = /\d+|[^\d]/gu

function comparePart(one: string, other: string): number {
  const [isOneNumber, isOtherNumber] = [isNumber(one), isNumber(other)]
  if (isOneNumber !== isOtherNumber) return isOneNumber ? -1 : 1
  if (!isOneNumber) return compareText(one, other)
  const [bare, otherBare] = [one.replace(/^0+/, ''), other.replace(/^0+/, '')]
  if (bare.length !== otherBare.length) return bare.length - otherBare.length
  return compareText(bare, otherBare) || one.length - other.length
}

function isNumber(text: string): boolean {
  return text.charCodeAt(0) >= 48 && text.charCodeAt(0) <= 57
}

/** Compares by code point, as Go compares strings. */
export function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
