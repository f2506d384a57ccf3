// Boot id: which boot of the machine this is.

import { readFileSync } from 'node:fs'

/** The kernel's id of this boot (random(4)); '' where it cannot be read. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
