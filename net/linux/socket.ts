// Options of TCP sockets that Node does not know, set by setsockopt(2) itself.

import { checked, libc } from './ffi.ts'

const IPPROTO_TCP = 6
const TCP_USER_TIMEOUT = 18
const TCP_NOTSENT_LOWAT = 25

export interface TcpOptions {
  /** The kernel gives the connection up when what was sent is not acknowledged for so long. */
  readonly userTimeoutMs: number
  /** The kernel takes no more than so many bytes that it cannot send yet. */
  readonly unsentBytesMax: number
}

/** Sets them on a socket by its file descriptor. Throws internal with the errno. */
export function setTcpOptions(fd: number, options: TcpOptions): void {
  setOption(fd, TCP_USER_TIMEOUT, options.userTimeoutMs)
  setOption(fd, TCP_NOTSENT_LOWAT, options.unsentBytesMax)
}

function setOption(fd: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  const result = libc().setsockopt(fd, IPPROTO_TCP, name, bytes, bytes.length)
  checked(`setsockopt of TCP option ${name} to ${value}`, result)
}
