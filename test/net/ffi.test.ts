// Calls into libc: results, and what a failed call says.

import t from 'tap'
import { hasCode } from '../../core/base/error.ts'
import { checked, errno, libc, MADV_DONTNEED } from '../../net/linux/ffi.ts'

const EINVAL = 22

t.test('malloc_trim returns 0 or 1', async (t) => {
  t.ok([0, 1].includes(libc().malloc_trim(0n)))
})

t.test('a failed call leaves its errno and becomes an error with its name', async (t) => {
  const result = libc().madvise(1n, 4096n, MADV_DONTNEED) // No page begins at address 1.
  const left = errno()
  t.same([result, left], [-1, EINVAL])
  try {
    checked('madvise of 4096 bytes at 0x1', libc().madvise(1n, 4096n, MADV_DONTNEED))
    t.fail('did not throw')
  } catch (error) {
    t.ok(hasCode(error, 'internal'))
    t.match(error, { message: 'madvise of 4096 bytes at 0x1: EINVAL', detail: { errno: EINVAL } })
  }
})
