// The door to the C library: the only file that knows node:ffi.
//
// Node carries libffi; with it we call libc in our own process, at 0.2 us a call and without a
// compiler. Each call blocks the thread that makes it, there are no structs (a Buffer and offsets
// instead) and no variadic functions (those with fixed arity are called as such, which the ABIs of
// x86-64 and arm64 Linux allow). fork() must never be called: V8's heap does not come along.
//
// node:ffi costs 2 ms and some memory to load, so it is loaded when first asked for, once a thread.

import type { DynamicLibraryResult } from 'node:ffi'
import { getSystemErrorName } from 'node:util'
import { CodedError } from '../../core/base/error.ts'

/**
 * The functions that we call, by their C names. `int32` is a number on both sides; `int64`,
 * `uint64` and `pointer` are bigint. A pointer argument also takes a Buffer, which must then be kept
 * alive by the caller for as long as the kernel may use it.
 */
const signatures = {
  __errno_location: { arguments: [], return: 'pointer' },
  malloc_trim: { arguments: ['uint64'], return: 'int32' },
  mount: { arguments: ['pointer', 'pointer', 'pointer', 'uint64', 'pointer'], return: 'int32' },
  umount2: { arguments: ['pointer', 'int32'], return: 'int32' },
  setsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'uint32'], return: 'int32' },
  madvise: { arguments: ['pointer', 'uint64', 'int32'], return: 'int32' },
} as const

type Ffi = typeof import('node:ffi')
type Functions = DynamicLibraryResult<typeof signatures>['functions']

interface Door {
  readonly ffi: Ffi
  readonly functions: Functions
  readonly errnoAddress: bigint
}

let door: Door | undefined

/** The functions of the table, ready to be called. Throws unavailable where Node has no ffi. */
export function libc(): Functions {
  return open().functions
}

/** The errno that the last failed call on this thread has left. Ask before the next call. */
export function errno(): number {
  const { ffi, errnoAddress } = open()
  return ffi.getInt32(errnoAddress, 0)
}

/**
 * Returns the result of a call unless it is -1; then throws internal with the name of the errno.
 * `what` says what was tried, with its values: "madvise of 4096 bytes at 0x7f00".
 */
export function checked(what: string, result: number): number {
  if (result !== -1) return result
  const number = errno()
  const name = getSystemErrorName(-number)
  throw new CodedError('internal', `${what}: ${name}`, { detail: { errno: number, name } })
}

/** Advice of madvise: these pages are not needed now; a file's come back when they are touched. */
export const MADV_DONTNEED = 4

function open(): Door {
  door ??= openDoor()
  return door
}

function openDoor(): Door {
  const ffi = process.getBuiltinModule('node:ffi')
  if (ffi === undefined) {
    throw new CodedError('unavailable', `this Node (${process.version}) has no node:ffi; use 26.10`)
  }
  // A null path means this program itself: libc, and whatever else Node exports (OpenSSL, libuv).
  const { functions } = ffi.dlopen(null, signatures)
  // The address belongs to the thread, and so does this module.
  return { ffi, functions, errnoAddress: functions.__errno_location() }
}
