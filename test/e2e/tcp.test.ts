// Sockets between nodes: what waits to be sent is held by us, not by the kernel, so that a heartbeat
// can still overtake it.

import { spawnSync } from 'node:child_process'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { dial } from '../../net/cluster/tcp.ts'

t.test('the kernel takes little of what the other side does not read', async (t) => {
  const accepted: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, (socket) => accepted.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const socket = await dial({ host: '127.0.0.1', port }, { timers: systemClock })
  t.teardown(() => socket.destroy())
  for (let count = 0; count < 1_000; count++) socket.write(Buffer.alloc(16 * 1024))
  // Send-Q of ss(8): what has not been acknowledged, sent or not.
  const queued = (): number => {
    const { stdout } = spawnSync('ss', ['-tnH', 'dst', `127.0.0.1:${port}`], { encoding: 'utf8' })
    return Number(stdout.trim().split(/\s+/)[2])
  }
  let before = -1
  while (before !== queued()) {
    before = queued()
    await systemClock.sleep(200)
  }
  t.comment(`the kernel holds ${before} bytes`)
  t.ok(before < 512 * 1024, 'some that are on their way, and no more')
  t.ok(socket.writableLength > 2 ** 20, 'the rest waits here')
})
