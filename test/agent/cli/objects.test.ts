// Secrets, configs, networks, logs and events.

import t from 'tap'
import { readFrames } from '../../../agent/cli/service-logs.ts'
import { startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

const object = (name: string) => ({
  ID: `${name}-id`,
  CreatedAt: '2026-11-22T16:59:30Z',
  UpdatedAt: '2026-11-22T16:59:30Z',
  Spec: { Name: name, Labels: { a: '1' }, Data: Buffer.from('hello\n').toString('base64') },
})

t.test('secrets and configs are made of a file or of stdin', async (t) => {
  const server = await startApiServer({
    'POST /secrets/create': () => ({ status: 201, body: { ID: 's-id' } }),
    'POST /configs/create': () => ({ status: 201, body: { ID: 'c-id' } }),
  })
  t.teardown(server.close)
  const files = { '/f': 'top', '/empty': '' }
  const at = (line: string) =>
    run(['-H', server.host, ...line.split(' ')], { files, input: 'piped' })
  t.equal((await at('secret create -l a=b s /f')).out, 's-id\n')
  t.strictSame(server.requests.at(-1)?.body, { Name: 's', Labels: { a: 'b' }, Data: 'dG9w' })
  t.equal((await at('config create --template-driver golang c -')).out, 'c-id\n')
  t.strictSame(server.requests.at(-1)?.body, {
    Name: 'c',
    Labels: {},
    Data: 'cGlwZWQ=',
    Templating: { Name: 'golang' },
  })
  t.equal((await at('secret create s')).err, 'secret file is required\n')
  t.equal(
    (await at('secret create s /nope')).err,
    'error reading from /nope: open /nope: no such file or directory\n',
  )
  t.equal(
    (await at('config create c /empty')).err,
    'Error reading content from "/empty": error reading from /empty: data is empty\n',
  )
  t.equal(
    (await at('secret create -d drv s /f')).err,
    'When using secret driver secret data must be empty\n',
  )
})

t.test('secrets and configs are listed, inspected and removed alike', async (t) => {
  const server = await startApiServer({
    'GET /secrets/': () => ({ body: object('s') }),
    'GET /secrets': () => ({ body: [object('s10'), object('s2')] }),
    'GET /configs/': () => ({ body: object('c') }),
    'DELETE /secrets/s2': () => ({ status: 204 }),
    'DELETE /secrets/': () => ({ status: 404, body: { message: 'secret nope not found' } }),
  })
  t.teardown(server.close)
  const at = (line: string) => run(['-H', server.host, ...line.split(' ')])
  t.equal(
    (await at('secret ls')).out,
    [
      'ID        NAME      DRIVER    CREATED          UPDATED',
      's2-id     s2                  30 seconds ago   30 seconds ago',
      's10-id    s10                 30 seconds ago   30 seconds ago',
      '',
    ].join('\n'),
  )
  t.equal(
    (await at('secret inspect --pretty s')).out,
    'ID:              s-id\nName:              s\nLabels:\n - a=1\nDriver:            \nCreated at:        2026-11-22 16:59:30 +0000 utc\nUpdated at:        2026-11-22 16:59:30 +0000 utc\n',
  )
  t.equal(
    (await at('config inspect --pretty c')).out,
    'ID:\t\t\tc-id\nName:\t\t\tc\nLabels:\n - a=1\nCreated at:            \t2026-11-22 16:59:30 +0000 utc\nUpdated at:            \t2026-11-22 16:59:30 +0000 utc\nData:\nhello\n\n',
  )
  const removed = await at('secret rm s2 nope')
  t.strictSame(removed, {
    exitCode: 1,
    out: 's2\n',
    err: 'Error response from daemon: secret nope not found\n',
  })
})

t.test('a network has its addresses sorted into its subnets', async (t) => {
  const server = await startApiServer({
    'POST /networks/create': () => ({ status: 201, body: { Id: 'n-id' } }),
  })
  t.teardown(server.close)
  const create = (line: string) =>
    run(['-H', server.host, 'network', 'create', ...line.split(' ').filter((word) => word !== '')])
  const line =
    '-d overlay --subnet 10.1.0.0/24,fd00::/64 --gateway fd00::1 --ip-range 10.1.0.0/25 --aux-address r=10.1.0.9 -o k=v n'
  t.equal((await create(line)).out, 'n-id\n')
  t.match(server.requests.at(-1)?.body, {
    Name: 'n',
    Driver: 'overlay',
    Options: { k: 'v' },
    IPAM: {
      Driver: 'default',
      Config: [
        { Subnet: '10.1.0.0/24', IPRange: '10.1.0.0/25', AuxiliaryAddresses: { r: '10.1.0.9' } },
        { Subnet: 'fd00::/64', Gateway: 'fd00::1' },
      ],
    },
  })
  const cases: readonly (readonly [string, string])[] = [
    ['--gateway 10.1.0.1 n', 'every ip-range or gateway must have a corresponding subnet'],
    ['--subnet 10.0.0.0/24 --gateway 10.1.0.1 n', 'no matching subnet for gateway 10.1.0.1'],
    [
      '--subnet 10.0.0.0/24 --subnet 10.0.0.0/16 n',
      'multiple overlapping subnet configuration is not supported',
    ],
  ]
  for (const [line, err] of cases) t.equal((await create(line)).err, `${err}\n`, line)
})

/** A frame of the multiplexed log stream. */
function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

const context =
  'com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=taskid,x%3D=1%2C2'

t.test('a log line is told with its task and node', async (t) => {
  const server = await startApiServer({
    'GET /services/web/logs': ({ query }) => {
      const time = query.get('timestamps') === '1' ? '2026-11-22T14:22:13.400579155Z ' : ''
      const from = query.get('details') === '1' ? `${context} ` : ''
      return {
        body: Buffer.concat([frame(1, `${time}${from}out ü\n`), frame(2, `${time}${from}err\n`)]),
      }
    },
    'GET /services/web': () => ({
      body: { ID: 's', Spec: { Mode: { Replicated: { Replicas: 10 } } } },
    }),
    'GET /services/s': () => ({ body: { ID: 's', Spec: { Name: 'web' } } }),
    'GET /nodes/n': () => ({ body: { ID: 'n', Description: { Hostname: 'n1' } } }),
    'GET /tasks/taskid': () => ({ body: { ID: 'taskid7890123456', Slot: 4 } }),
  })
  t.teardown(server.close)
  const at = (...args: readonly string[]) => run(['-H', server.host, 'logs', ...args, 'web'])
  t.strictSame(await at(), {
    exitCode: 0,
    out: 'web.4.taskid789012@n1     | out ü\n',
    err: 'web.4.taskid789012@n1     | err\n',
  })
  t.equal(
    (await at('-t', '--no-trunc', '--details')).out,
    '2026-11-22T14:22:13.400579155Z web.4.taskid7890123456@n1     | x==1,2 out ü\n',
  )
  t.equal((await at('--no-task-ids', '--no-resolve')).out, 's.4@n     | out ü\n')
  t.equal((await at('--raw')).out, 'out ü\n')
  t.equal((await at('--since', '10m', '-n', '5')).exitCode, 0)
  const asked = server.requests.findLast((request) => request.path === '/services/web/logs')
  t.match(asked?.query.toString(), /^details=1&since=\d+&stderr=1&stdout=1&tail=5$/)
  t.equal((await run(['-H', server.host, 'logs', 'no'])).err, 'no such task or service: no\n')
})

t.test('frames are found wherever the stream is cut', async (t) => {
  const bytes = Buffer.concat([frame(1, 'first\n'), frame(2, ''), frame(1, 'second\n')])
  for (let size = 1; size <= bytes.length; size++) {
    async function* chunks() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    const got: string[] = []
    for await (const one of readFrames(chunks()))
      got.push(`${one.isError}${Buffer.from(one.bytes)}`)
    t.strictSame(got, ['falsefirst\n', 'true', 'falsesecond\n'], `${size} bytes at a time`)
  }
  async function* broken() {
    yield frame(3, 'incomplete log stream')
  }
  await t.rejects(readFrames(broken()).next(), {
    message: 'error from daemon in stream: incomplete log stream',
  })
})

t.test('an event is one line with all nine decimals', async (t) => {
  const line =
    '{"Type":"network","Action":"create","Actor":{"ID":"o","Attributes":{"name":"n","b":"x"}},"scope":"swarm","time":1795357504,"timeNano":1795357504915709338}'
  const server = await startApiServer({ 'GET /events': () => ({ body: Buffer.from(`${line}\n`) }) })
  t.teardown(server.close)
  const at = (...args: readonly string[]) => run(['-H', server.host, 'events', ...args])
  t.match((await at()).out, /^\S+T\S+:\d\d:04\.915709338\S+ network create o \(b=x, name=n\)\n$/)
  t.equal((await at('--format', 'json')).out, `${line}\n`)
  t.equal((await at('--format', '{{.Type}} {{.Actor.Attributes.name}}')).out, 'network n\n')
  t.strictSame(await at('--format', '{{.Nope}}'), {
    exitCode: 64,
    out: '',
    err: 'Error parsing format: template: :1:2: executing "" at <.Nope>: can\'t evaluate field Nope in type *events.Message\n',
  })
  await at('--since', '1', '--until', '2', '-f', 'type=network')
  t.equal(
    server.requests.at(-1)?.query.toString(),
    'filters=%7B%22type%22%3A%7B%22network%22%3Atrue%7D%7D&since=1&until=2',
  )
})
