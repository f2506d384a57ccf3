// Base64 (RFC 4648 section 4, with padding): how JSON carries bytes. Line breaks inside are passed
// over, as Go's decoder does; anything else that is not of the alphabet is refused.

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const digitValue = new Map([...alphabet].map((digit, value) => [digit.charCodeAt(0), value]))

/** Bytes to text. */
export function encodeBase64(data: Uint8Array): string {
  let text = ''
  for (let at = 0; at < data.length; at += 3) {
    const left = data.length - at
    const bits = ((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0)
    text += digit(bits >> 18) + digit(bits >> 12)
    text += (left > 1 ? digit(bits >> 6) : '=') + (left > 2 ? digit(bits) : '=')
  }
  return text
}

function digit(bits: number): string {
  return alphabet[bits & 63] ?? ''
}

/** Text to bytes; undefined for a text that is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const digits = text.replace(/[\r\n]/g, '')
  if (digits.length % 4 !== 0) return undefined
  const padding = digits.endsWith('==') ? 2 : digits.endsWith('=') ? 1 : 0
  const count = digits.length - padding
  const data = new Uint8Array((digits.length / 4) * 3 - padding)
  let bits = 0
  let size = 0
  for (let at = 0; at < count; at++) {
    const value = digitValue.get(digits.charCodeAt(at))
    if (value === undefined) return undefined
    bits = ((bits << 6) | value) & 0xffffff
    if (at % 4 !== 0) data[size++] = (bits >> (6 - 2 * (at % 4))) & 255
  }
  return data
}
