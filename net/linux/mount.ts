// Mounts: a file system in memory, made and taken away by mount(2) itself, without a program.

import { CodedError, hasCode } from '../../core/base/error.ts'
import { checked, libc } from './ffi.ts'

/** Flags of mount(2). */
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8
/** Flag of umount2(2): hidden at once, gone when nobody uses it any more. */
const MNT_DETACH = 2

/**
 * Mounts a tmpfs on the folder, which has to exist; it may hold nothing that runs, no device, and,
 * where the kernel can promise it (Linux 6.4), is never written to swap. Only root may enter.
 * Throws internal with the errno (EPERM without CAP_SYS_ADMIN); the folder is then as it was.
 */
export function mountTmpfs(folder: string): void {
  try {
    mount(folder, 'mode=0700,noswap')
  } catch (error) {
    // An older kernel does not know the option.
    if (!hasCode(error, 'internal') || error.detail['name'] !== 'EINVAL') throw error
    mount(folder, 'mode=0700')
  }
}

function mount(folder: string, options: string): void {
  const flags = BigInt(MS_NOSUID | MS_NODEV | MS_NOEXEC)
  const tmpfs = cString('tmpfs')
  checked(
    `mount of a tmpfs on ${folder}`,
    libc().mount(tmpfs, cString(folder), tmpfs, flags, cString(options)),
  )
}

/** Takes away what is mounted on the folder. Throws internal with the errno (EINVAL: nothing is). */
export function unmount(folder: string): void {
  checked(`unmount of ${folder}`, libc().umount2(cString(folder), MNT_DETACH))
}

/** Bytes with their end mark. Throws invalid-argument for a text that would end earlier. */
function cString(text: string): Buffer {
  if (text.includes('\0')) throw new CodedError('invalid-argument', 'a path has no zero byte')
  return Buffer.from(`${text}\0`)
}
