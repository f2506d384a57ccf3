// Errors: what is refused is refused in the words of a real Swarm, with its exit code, by the docker
// CLI and by ours, and changes nothing.

import t from 'tap'
import { hasRecordedWords } from '../support/docker-cli.ts'
import { openOneNode, web1 } from './one-node.ts'
import { normalise, printed } from './transcript.ts'

interface Row {
  readonly args: readonly string[]
  /** As printed by docker; ours says agent where it says docker. */
  readonly want: string
}

const usage = (line: string): string => `
Usage:  docker service create [OPTIONS] IMAGE [COMMAND] [ARG...]

${line} 'docker service create --help' for more information
`
const refused = (what: string): string => `${what}\n${usage('Run')}(exit status 125)\n`
const failed = (what: string): string => `${what}\n(exit status 1)\n`
const daemon = (what: string): string => failed(`Error response from daemon: ${what}`)
const invalid = (what: string): string => daemon(`rpc error: code = InvalidArgument desc = ${what}`)
const create = (...args: readonly string[]): readonly string[] => ['service', 'create', ...args]
const noRollback = daemon(
  'rpc error: code = FailedPrecondition desc = service <id> does not have a previous spec',
)

/** Transcripts 02, 03 and 09 of a real Swarm, as far as one node goes. */
const rows: readonly Row[] = [
  {
    args: create('--name', 'e1', web1),
    want: daemon(
      'rpc error: code = AlreadyExists desc = name conflicts with an existing object: service e1 already exists',
    ),
  },
  {
    args: create('--network', 'nonet', '--name', 'e2', web1),
    want: daemon('network nonet not found'),
  },
  {
    args: create('-d', '--name', 'e4', '-p', '9090:8080', web1),
    want: invalid("port '9090' is already in use by service 'e3' (<id>) as an ingress port"),
  },
  {
    args: create('--name', 'e5', '-p', 'foo:bar', web1),
    want: refused(
      'invalid argument "foo:bar" for "-p, --publish" flag: invalid containerPort: bar',
    ),
  },
  {
    args: create('--name', 'e5', '-p', '99999:80', web1),
    want: refused('invalid argument "99999:80" for "-p, --publish" flag: invalid hostPort: 99999'),
  },
  {
    args: create('--name', 'e5', '-p', 'published=80,target=80,mode=bogus', web1),
    want: refused(
      'invalid argument "published=80,target=80,mode=bogus" for "-p, --publish" flag: invalid publish mode value (bogus): must be either \'ingress\' or \'host\'',
    ),
  },
  {
    args: create('--name', 'bad name!', web1),
    want: invalid('name must be valid as a DNS name component'),
  },
  {
    args: create(),
    want: failed(
      `docker: 'docker service create' requires at least 1 argument\n${usage('See')}`,
    ).replace('\n\n(exit', '\n(exit'),
  },
  {
    args: create('--mode', 'bogus', '--name', 'e6', web1),
    want: failed('Unknown mode: bogus, only replicated and global supported'),
  },
  {
    args: create('--mode', 'global', '--replicas', '2', '--name', 'e6', web1),
    want: failed('replicas can only be used with replicated or replicated-job mode'),
  },
  {
    args: create('--endpoint-mode', 'dnsrr', '-p', '9191:8080', '--name', 'e6', web1),
    want: invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode"),
  },
  {
    args: ['service', 'scale', 'e1=-1'],
    want: failed('e1: invalid replicas value -1: strconv.ParseUint: parsing "-1": invalid syntax'),
  },
  {
    args: ['service', 'scale', 'nope=3'],
    want: failed('nope: Error response from daemon: service nope not found'),
  },
  {
    args: ['service', 'scale', 'e1'],
    want: failed(`invalid scale specifier 'e1'.
See 'docker service scale --help'.

Usage:  docker service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]

Scale one or multiple replicated services`),
  },
  { args: ['service', 'inspect', 'nope'], want: failed('[]\nError: no such service: nope') },
  { args: ['service', 'ps', 'nope'], want: failed('no such service: nope') },
  { args: ['service', 'rm', 'nope'], want: daemon('service nope not found') },
  { args: ['service', 'logs', 'nope'], want: failed('no such task or service: nope') },
  { args: ['service', 'update', 'nope'], want: daemon('service nope not found') },
  {
    args: ['service', 'update', '--publish-add', '9090:8080', 'e1'],
    want: invalid("port '9090' is already in use by service 'e3' (<id>) as an ingress port"),
  },
  { args: ['service', 'rollback', '--detach', 'e1'], want: noRollback },
  {
    args: create('--name', 'e6', '--limit-memory', '1m', web1),
    want: invalid('invalid memory value 1048576: Must be at least 4MiB'),
  },
  {
    args: create('--name', 'e6', '--limit-cpu', '0.0001', web1),
    want: invalid('invalid cpu value 0.0001: Must be at least 0.001'),
  },
  {
    args: create('--name', 'e6', '--constraint', 'node.bogus', web1),
    want: invalid('constraint expected one operator from ==, !='),
  },
  {
    args: create('--name', 'e6', '--mount', 'type=bind,target=/x', web1),
    want: invalid('invalid bind mount source, must be an absolute path:'),
  },
  {
    args: create('--name', 'e6', '--restart-condition', 'bogus', web1),
    want: daemon('invalid RestartCondition: "bogus"'),
  },
  {
    args: create('--name', 'e6', '--update-failure-action', 'bogus', web1),
    want: daemon('unrecognized update failure action bogus'),
  },
  {
    args: create('--name', 'e6', '--update-order', 'bogus', web1),
    want: daemon('unrecognized update order bogus'),
  },
  {
    args: create('--name', 'e6', '--update-max-failure-ratio', '1.5', web1),
    want: invalid('TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1'),
  },
  {
    args: create('--name', 'e6', 'Bad Image'),
    want: invalid('ContainerSpec: "Bad Image" is not a valid repository/tag'),
  },
  {
    args: ['node', 'inspect', 'nope'],
    want: failed('[]\nError response from daemon: node nope not found'),
  },
  { args: ['node', 'rm', 'nope'], want: daemon('node nope not found') },
  { args: ['node', 'promote', 'nope'], want: daemon('node nope not found') },
  {
    args: ['node', 'rm', 'n1'],
    want: daemon(
      'rpc error: code = FailedPrecondition desc = node <id> is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal',
    ),
  },
  {
    args: ['node', 'rm', '--force', 'n1'],
    want: daemon(
      'rpc error: code = FailedPrecondition desc = node <id> is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal',
    ),
  },
  {
    args: ['node', 'demote', 'n1'],
    want: daemon(
      'rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm',
    ),
  },
  {
    args: ['swarm', 'init'],
    want: daemon(
      'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
    ),
  },
  {
    args: ['swarm', 'leave'],
    want: daemon(
      'You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.',
    ),
  },
]

const node = await openOneNode(t)
await node.create('e1', web1)
await node.create('e3', '-p', '9090:8080', web1)

t.test('what is refused is refused in the words of a real Swarm', async (t) => {
  const before = await specs()
  for (const { args, want } of rows) {
    const [theirs, ours] = await Promise.all([node.docker(...args), node.agent.cli(...args)])
    if (hasRecordedWords(theirs))
      t.equal(printed(theirs), normalise(want), `docker ${args.join(' ')}`)
    else t.match(printed(theirs), exitOf(want), `docker ${args.join(' ')}, an older one`)
    t.equal(printed(ours), inOurWords(normalise(want)), `agent ${args.join(' ')}`)
  }
  t.equal(await specs(), before, 'nothing was changed by any of it')
})

t.test('what cannot be placed says why', async (t) => {
  await node.create('e7', '--constraint', 'node.labels.x==y', web1)
  await node.create('e8', '--reserve-memory', '900g', web1)
  await node.create('e9', '-p', 'published=9500,target=8080,mode=host', '--replicas', '2', web1)
  await node.create('e10', '--replicas', '2', '--replicas-max-per-node', '1', web1)
  await node.create('e11', '--reserve-cpu', '900', web1)
  await node.awaitPs(
    'e7',
    /Pending .*"no suitable node \(scheduling constraints not satisfied on 1 node\)/,
  )
  await node.awaitPs('e7', /no node meets node\.labels\.x==y"/)
  await node.awaitPs('e8', /Pending .*"no suitable node \(insufficient resources on 1 node\)/)
  await node.awaitPs('e11', /Pending .*"no suitable node \(insufficient resources on 1 node\)/)
  await node.awaitPs(
    'e9',
    /Pending .*"no suitable node \(host-mode port already in use on 1 node\)/,
  )
  await node.awaitPs('e10', /Pending .*"no suitable node \(max replicas per node limit exceed\)/)
  await node.awaitRunning('e9', { count: 2, timeoutMs: 1 }).then(
    () => t.fail('both tasks of e9 run on one port'),
    () => t.pass('one of them waits'),
  )

  await node.must('node', 'update', '--label-add', 'x=y', 'n1')
  await node.awaitRunning('e7', { count: 1 })
  t.pass('a task that waited for a label starts when it comes')
})

/** The line of the exit status, with which each of these ends. */
function exitOf(text: string): RegExp {
  return new RegExp(`\\(${/exit status \d+/.exec(text)?.[0]}\\)\n$`)
}

/** Usage lines name the program; the daemon's sentences are the same in both. */
function inOurWords(text: string): string {
  return text.replaceAll('docker service', 'agent service').replace(/^docker: /, 'agent: ')
}

/** Every service's spec and version. */
async function specs(): Promise<string> {
  const services = (await node.agent.json({ path: '/services' })) as readonly object[]
  return JSON.stringify(services)
}
