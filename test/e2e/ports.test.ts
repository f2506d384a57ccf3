// Ports: what is published answers, over TCP and UDP, with a port that was asked for or one that was
// picked; what is added or taken away leaves the tasks alone; and a request that is under way when
// its task goes is finished.

import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { request } from '../support/unix-http.ts'
import { waitFor } from '../support/wait.ts'
import { openOneNode, shell, web1 } from './one-node.ts'

const node = await openOneNode(t)
const { host, client } = node
const at = (port: number, path = '/'): string => `http://${host.address}:${port}${path}`
const answers = (port: number): Promise<string> =>
  waitFor({ what: `page on ${port}`, timeoutMs: 20_000, describe: () => node.agent.log() }, () =>
    client.fetch(at(port)),
  )
const refuses = (port: number): Promise<boolean> =>
  waitFor({ what: `no page on ${port}`, timeoutMs: 20_000 }, async () => {
    const ended = await client.run(['curl', '--silent', '--max-time', '2', at(port)])
    return ended.code === 7
  })

// Busybox has no UDP server: this Node, lent to the container with the libraries it needs, is one.
const echoProgram = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (bytes, from) => socket.send(process.env.HOSTNAME + ' ' + bytes, from.port, from.address))
socket.bind(5353, () => console.log('ready'))
process.on('SIGTERM', () => process.exit(0))
`
const askProgram = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (bytes) => { console.log(String(bytes)); process.exit(0) })
socket.send('bee', Number(process.argv[2]), process.argv[1])
setTimeout(() => process.exit(1), 1000)
`
const lend = (path: string, target = path): string =>
  `type=bind,source=${path},target=${target},readonly`

async function udp(port: number): Promise<string> {
  const command = [process.execPath, '-e', askProgram, host.address, String(port)]
  const ended = await client.run(command)
  if (ended.code !== 0) throw new Error(`no answer on UDP ${port}: ${ended.stderr}`)
  return ended.stdout.trim()
}

t.test('one service publishes several ports, TCP and UDP, and one that was picked', async (t) => {
  writeFileSync(join(host.folder, 'echo.cjs'), echoProgram)
  const script = 'echo page > /www/index.html; httpd -p 8080 -h /www; exec /lent/node /echo.cjs'
  await node.create(
    ...(['many', '-p', '8080:8080', '-p', '5353:5353/udp', '-p', '8080'] as const),
    ...['-p', 'published=9001,target=8080', '--replicas', '2'],
    ...['--mount', lend(dirname(process.execPath), '/lent'), '--mount', lend('/usr')],
    ...['--mount', lend('/lib'), '--mount', lend('/lib64')],
    ...['--mount', lend(join(host.folder, 'echo.cjs'), '/echo.cjs')],
    ...[shell, 'sh', '-c', script],
  )
  await node.awaitRunning('many', { count: 2 })
  for (const port of [8080, 9001, 30000]) t.equal(await answers(port), 'page\n', `port ${port}`)
  const seen = new Set<string>()
  await waitFor({ what: 'answers of both tasks over UDP', timeoutMs: 20_000 }, async () => {
    seen.add(await udp(5353))
    return seen.size === 2
  })
  for (const answer of seen) t.match(answer, /^[0-9a-f]{12} bee$/)
  t.equal(
    await node.must('service', 'ls', '--format', '{{.Ports}}'),
    '*:8080->8080/tcp, *:9001->8080/tcp, *:30000->8080/tcp, *:5353->5353/udp',
  )
  t.equal(await host.fetch('http://127.0.0.1:8080/'), 'page\n', 'on loopback too')
  t.equal(await client.fetch(`http://[${host.address6}]:8080/`), 'page\n', 'and over IPv6')
  await node.remove('many')
  for (const port of [8080, 9001, 30000]) await refuses(port)
})

t.test('ports come and go without a restart of the tasks', async (t) => {
  await node.create('web', '--replicas', '2', '-p', '8080:8080', web1)
  const before = (await node.awaitRunning('web', { count: 2 })).map((task) => task.ID)
  const update = (...flags: string[]): Promise<string> =>
    node.must('service', 'update', '--detach', ...flags, 'web')
  await answers(8080)
  await update('--publish-add', '8081:8080')
  t.match(await answers(8081), 'version 1.0')
  t.match(await answers(8080), 'version 1.0')
  await update('--publish-rm', '8080') // The port of the container, as in Docker: both go.
  await refuses(8080)
  await refuses(8081)
  await update('--publish-add', 'published=8082,target=8080')
  t.match(await answers(8082), 'version 1.0')
  t.same(
    (await node.running('web')).map((task) => task.ID),
    before,
    'they are the same tasks',
  )
  await node.remove('web')
})

t.test("a port in mode host is the container's own", async (t) => {
  await node.create('own', '-p', 'mode=host,published=8090,target=8080', web1)
  const [task] = await node.awaitRunning('own', { count: 1 })
  t.match(await answers(8090), 'version 1.0')
  const [line] = (await node.must('ps', '--format', '{{.Ports}}')).split('\n')
  t.match(line, '0.0.0.0:8090->8080/tcp')
  await node.awaitPs('own', new RegExp(`^${task?.ID}.* \\*:8090->8080/tcp$`))
  await node.remove('own')
})

t.test('a port that another program has is reported, and taken over when it is free', async (t) => {
  const other = host.start('other', [
    process.execPath,
    '-e',
    `require('node:http').createServer((_, answer) => answer.end('other')).listen(8070, '0.0.0.0')`,
  ])
  t.equal(await answers(8070), 'other')
  await node.create('late', '-p', '8070:8080', web1)
  await node.awaitRunning('late', { count: 1 })
  await waitFor({ what: 'word of it in the log', timeoutMs: 10_000 }, () =>
    /WARN .*8070/.test(node.agent.log()),
  )
  t.equal(await answers(8070), 'other')
  await other.stop()
  await waitFor({ what: 'page of the service', timeoutMs: 30_000 }, async () => {
    return (await client.fetch(at(8070))).includes('version 1.0')
  })
  await node.remove('late')
})

t.test('a slow request is finished when its task goes', async (t) => {
  const script =
    'mkdir -p /www/cgi-bin; printf \'#!/bin/sh\\nsleep 3\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n$A done"\\n\' > /www/cgi-bin/slow; chmod +x /www/cgi-bin/slow; ' +
    "httpd -f -p 8080 -h /www & trap 'exit 0' TERM; wait"
  await node.create(
    ...(['slow', '-p', '8060:8080', '--env', 'A=old', '--replicas', '2'] as const),
    ...[shell, 'sh', '-c', script],
  )
  await node.awaitRunning('slow', { count: 2 })
  await waitFor({ what: 'answer on 8060', timeoutMs: 10_000 }, async () => {
    const head = await client.run(['curl', '--silent', '--max-time', '2', at(8060)])
    return head.code === 0
  })
  const ask = (): Promise<string> => client.fetch(at(8060, '/cgi-bin/slow'), 15_000)
  const asked = Promise.all([ask(), ask(), ask(), ask()])
  asked.catch(() => undefined) // It is awaited below.
  await waitFor({ what: 'requests under way', timeoutMs: 30_000, everyMs: 20 }, async () => {
    const text = await Promise.all(
      (await node.running('slow')).map((task) =>
        node.engineMust('top', task.Status.ContainerStatus?.ContainerID ?? '', '-o', 'pid,args'),
      ),
    )
    return text.join('\n').split('sleep 3').length > 4
  })
  await node.must(
    ...['service', 'update', '--detach', '--env-add', 'A=new', '--update-parallelism', '0'],
    'slow',
  )
  t.same(await asked, Array(4).fill('old done'), 'all four have their answers')
  await node.awaitRunning('slow', { count: 2 })
  await waitFor({ what: 'answer of a new task', timeoutMs: 20_000 }, async () => {
    return (await client.fetch(at(8060, '/cgi-bin/slow'), 10_000)) === 'new done'
  })
  await node.remove('slow')
})

t.test('the engine and its own containers keep their ports', async (t) => {
  const id = await node.must('run', '--detach', '--publish', '8050:8080', web1)
  t.match(await answers(8050), 'version 1.0')
  const refused = await request({
    socket: node.agent.socket,
    method: 'DELETE',
    path: `/services/${id}`,
  })
  t.equal(refused.status, 404)
  await node.must('rm', '--force', id)
})
