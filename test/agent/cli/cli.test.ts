// The command line as a whole: which command is found, what help says, how a run ends.

import t from 'tap'
import type { LocalCommands } from '../../../agent/cli/cli.ts'
import { none } from '../../../agent/cli/command.ts'
import { startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

t.test('a usage error has the text and the exit code of docker', async (t) => {
  const create = 'agent service create [OPTIONS] IMAGE [COMMAND] [ARG...]'
  const cases: readonly (readonly [string, number, string])[] = [
    [
      'service create',
      1,
      `agent: 'agent service create' requires at least 1 argument\n\nUsage:  ${create}\n\nSee 'agent service create --help' for more information\n`,
    ],
    [
      'service create --nope',
      125,
      `unknown flag: --nope\n\nUsage:  ${create}\n\nRun 'agent service create --help' for more information\n`,
    ],
    [
      'service ls x',
      1,
      "agent: 'agent service ls' accepts no arguments\n\nUsage:  agent service ls [OPTIONS]\n\nRun 'agent service ls --help' for more information\n",
    ],
    [
      'service rollback',
      1,
      "agent: 'agent service rollback' requires 1 argument\n\nUsage:  agent service rollback [OPTIONS] SERVICE\n\nRun 'agent service rollback --help' for more information\n",
    ],
    [
      'secret create a b c',
      1,
      "agent: 'agent secret create' requires at least 1 and at most 2 arguments\n\nUsage:  agent secret create [OPTIONS] SECRET [file|-]\n\nRun 'agent secret create --help' for more information\n",
    ],
    [
      'service scale e1',
      1,
      "invalid scale specifier 'e1'.\nSee 'agent service scale --help'.\n\nUsage:  agent service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\nScale one or multiple replicated services\n",
    ],
    [
      'service --nope',
      125,
      "unknown flag: --nope\n\nUsage:  agent service\n\nRun 'agent service --help' for more information\n",
    ],
    [
      '-x',
      125,
      "unknown shorthand flag: 'x' in -x\n\nUsage:  agent [OPTIONS] COMMAND [ARG...]\n\nRun 'agent --help' for more information\n",
    ],
    [
      'servce',
      1,
      "agent: unknown command: agent servce\n\nDid you mean this?\n    agent service\n\nRun 'agent --help' for more information\n",
    ],
    [
      'service lss',
      1,
      "agent: unknown command: agent service lss\n\nDid you mean this?\n    agent service ls\n\nUsage:  agent service\n\nRun 'agent service --help' for more information\n",
    ],
    ['swarm join-token bogus', 1, 'unknown role bogus\n'],
    ['help nope', 1, 'unknown help topic: nope\n'],
    [
      '-H bogus node ls',
      1,
      'unable to parse host "bogus": it must be unix://PATH or tcp://HOST:PORT\n',
    ],
    [
      '-H unix:///nowhere/agent.sock node ls',
      1,
      'Cannot connect to the Skep agent at unix:///nowhere/agent.sock. Is the agent running?\n',
    ],
  ]
  for (const [line, exitCode, err] of cases) {
    t.strictSame(await run(line.split(' ')), { exitCode, out: '', err }, line)
  }
})

t.test('help has the form of docker and wraps at the terminal', async (t) => {
  const wide = await run(['node', 'rm', '--help'], { columns: 120 })
  t.equal(
    wide.out,
    `Usage:  agent node rm [OPTIONS] NODE [NODE...]

Remove one or more nodes from the swarm

Aliases:
  agent node rm, agent node remove

Options:
  -f, --force   Force remove a node from the swarm
`,
  )
  const { out } = await run(['help', 'service', 'create'])
  t.match(
    out,
    `
      --health-start-period duration       Start period for the container
                                           to initialize before counting
                                           retries towards unstable (ms|s|m|h)
`,
  )
  t.match(out, '  -p, --publish port                       Publish a port as a node port\n')
  t.ok(
    out.split('\n').every((line) => line.length <= 80),
    'no line is longer than the terminal',
  )
  t.equal((await run(['--help', 'service', 'create'])).out, out)
})

t.test('a group alone shows its help on stderr, and asked for on stdout', async (t) => {
  const alone = await run(['service'])
  const asked = await run(['service', '--help'])
  t.strictSame([alone.exitCode, alone.out], [0, ''])
  t.strictSame([asked.exitCode, asked.err], [0, ''])
  t.equal(alone.err, asked.out)
  t.match(asked.out, "  rollback    Revert changes to a service's configuration\n")
})

t.test("the host's commands stand beside the API's, or in their place", async (t) => {
  const local: LocalCommands = [
    {
      type: 'command',
      name: 'daemon',
      usage: '[OPTIONS]',
      short: 'Run the agent',
      arguments: none,
      flags: [{ name: 'state-dir', kind: 'string', help: 'Where the state is' }],
      run: async ({ flags }) => (flags.text('state-dir') === '/x' ? 7 : 8),
    },
    {
      type: 'command',
      name: 'init',
      usage: '',
      short: 'Start and initialize',
      arguments: none,
      flags: [],
      run: async ({ io, api }) => {
        io.stdout.write(`ours at ${api.host}\n`)
        return undefined
      },
    },
  ]
  t.equal((await run(['daemon', '--state-dir', '/x'], {}, local)).exitCode, 7)
  t.equal((await run(['init'], {}, local)).out, 'ours at unix:///run/skep/agent.sock\n')
  const env = { AGENT_HOST: 'unix:///a' }
  t.equal((await run(['init'], { env }, local)).out, 'ours at unix:///a\n')
  t.equal((await run(['init', '-H', 'unix:///b'], { env }, local)).out, 'ours at unix:///b\n')
  const help = (await run([], {}, local)).out
  t.match(help, '  daemon      Run the agent\n')
  t.match(help, '  init        Start and initialize\n')
  t.equal(help.split('  init  ').length, 2, 'one init only')
})

t.test('a flag that is newer than the daemon is refused by name', async (t) => {
  const server = await startApiServer({}, '1.41')
  t.teardown(server.close)
  const args = ['service', 'create', '--oom-score-adj', '5', 'i']
  const { exitCode, err } = await run(['-H', server.host, ...args])
  t.equal(exitCode, 1)
  t.equal(
    err,
    '"--oom-score-adj" requires API version 1.46, but the Skep agent API version is 1.41\n',
  )
  t.equal(server.requests.length, 0)
})

t.test("a daemon's error is told in its words", async (t) => {
  const server = await startApiServer({
    'GET /services/odd': () => ({ status: 500, body: { message: 'rpc error: broken\n' } }),
    'GET /services/plain': () => ({ status: 400, body: Buffer.from('not json') }),
    'GET /services/empty': () => ({ status: 503 }),
  })
  t.teardown(server.close)
  const update = async (name: string): Promise<string> =>
    (await run(['-H', server.host, 'service', 'update', name])).err
  t.equal(await update('odd'), 'Error response from daemon: rpc error: broken\n')
  t.equal(await update('plain'), 'Error response from daemon: not json\n')
  t.equal(
    await update('empty'),
    'Error response from daemon: request returned status 503 with no message\n',
  )
})

t.test('an answer without a leader behind it is marked on stderr', async (t) => {
  const server = await startApiServer({
    'GET /services': () => ({ body: [], headers: { 'skep-stale': '12500' } }),
  })
  t.teardown(server.close)
  t.strictSame(await run(['-H', server.host, 'service', 'ls', '-q']), {
    exitCode: 0,
    out: '',
    err: 'WARNING: no leader answers: this is how things stood 12 seconds ago\n',
  })
})

t.test('the first answer tells the version, and a newer daemon is asked in ours', async (t) => {
  const nodes = () => ({ headers: { 'skep-version': '1', 'skep-node': 'n1-id' }, body: [node] })
  const info = () => ({ body: { Swarm: { NodeID: 'n1-id' } } })
  const node = { ID: 'n1-id', Description: { Hostname: 'n1' } }
  const cases = [
    { offered: '1.44', asked: [''] },
    { offered: '9.1', asked: ['', '1.50'] },
  ]
  for (const { offered, asked } of cases) {
    const server = await startApiServer({ 'GET /nodes': nodes, 'GET /info': info }, offered)
    const { out } = await run(['-H', server.host, 'node', 'ls'])
    t.match(out, 'n1-id *', `${offered}: the node that answers has its mark`)
    const got = server.requests.filter((request) => request.path === '/nodes')
    t.same(
      got.map((request) => request.version),
      asked,
      offered,
    )
    await server.close()
  }
})
