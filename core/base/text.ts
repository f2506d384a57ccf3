// UTF-8: bytes of texts.

/** The text's bytes. */
export function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** The bytes' text; undefined if they are not UTF-8. */
export function decodeText(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return undefined
  }
}
