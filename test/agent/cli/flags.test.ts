// Flags of a command line: their forms, and what is said of wrong ones.

import t from 'tap'
import { type Flag, flagValues, parseFlags } from '../../../agent/cli/flags.ts'

const flags: readonly Flag[] = [
  { name: 'quiet', short: 'q', kind: 'bool', help: '' },
  { name: 'all', short: 'a', kind: 'bool', help: '' },
  { name: 'publish', short: 'p', kind: 'port', help: '' },
  { name: 'replicas', kind: 'uint', help: '' },
  { name: 'env', short: 'e', kind: 'envList', help: '' },
  { name: 'tail', short: 'n', kind: 'string', help: '', default: 'all' },
]

function parse(line: string, isInterspersed = true) {
  const { values, rest, isHelp } = parseFlags(line === '' ? [] : line.split(' '), {
    flags,
    isInterspersed,
  })
  return { values: Object.fromEntries(values), rest, isHelp }
}

t.test('a flag has the forms of pflag', async (t) => {
  const cases: readonly (readonly [string, Record<string, string[]>, string[]])[] = [
    ['', {}, []],
    ['-q', { quiet: ['true'] }, []],
    ['-qa x', { quiet: ['true'], all: ['true'] }, ['x']],
    ['-qp 80', { quiet: ['true'], publish: ['80'] }, []],
    ['-p8080:80', { publish: ['8080:80'] }, []],
    ['-p=8080:80', { publish: ['8080:80'] }, []],
    ['-p 80 --publish 81 --publish=82', { publish: ['80', '81', '82'] }, []],
    ['x -q y', { quiet: ['true'] }, ['x', 'y']],
    ['x -- -q --nope', {}, ['x', '-q', '--nope']],
    ['--quiet=false -', { quiet: ['false'] }, ['-']],
    ['-e A=b=c --env D', { env: ['A=b=c', 'D'] }, []],
    ['--replicas 0x10', { replicas: ['0x10'] }, []],
  ]
  for (const [line, values, rest] of cases) {
    t.strictSame(parse(line), { values, rest, isHelp: false }, line)
  }
})

t.test('the first argument ends the flags where a command line follows', async (t) => {
  t.strictSame(parse('-q image -q --nope', false), {
    values: { quiet: ['true'] },
    rest: ['image', '-q', '--nope'],
    isHelp: false,
  })
})

t.test('--help and -h ask for help in any place', async (t) => {
  for (const line of ['--help', 'x --help', '-h', '-qh']) t.ok(parse(line).isHelp, line)
  t.notOk(parse('--help=false').isHelp)
})

t.test('a wrong flag is told in the words of pflag', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['--nope', 'unknown flag: --nope'],
    ['-qx', "unknown shorthand flag: 'x' in -x"],
    ['--tail', 'flag needs an argument: --tail'],
    ['-qn', "flag needs an argument: 'n' in -n"],
    ['--=x', 'bad flag syntax: --=x'],
    [
      '--replicas x',
      'invalid argument "x" for "--replicas" flag: strconv.ParseUint: parsing "x": invalid syntax',
    ],
    [
      '--replicas 18446744073709551616',
      'invalid argument "18446744073709551616" for "--replicas" flag: strconv.ParseUint: parsing "18446744073709551616": value out of range',
    ],
    [
      '--quiet=maybe',
      'invalid argument "maybe" for "-q, --quiet" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [
      '-p foo:bar',
      'invalid argument "foo:bar" for "-p, --publish" flag: invalid containerPort: bar',
    ],
    [
      '-p 99999:80',
      'invalid argument "99999:80" for "-p, --publish" flag: invalid hostPort: 99999',
    ],
    [
      '-p published=80,target=80,mode=odd',
      'invalid argument "published=80,target=80,mode=odd" for "-p, --publish" flag: invalid publish mode value (odd): must be either \'ingress\' or \'host\'',
    ],
    ['-e =x', 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'],
  ]
  for (const [line, message] of cases) t.throws(() => parse(line), { message }, line)
})

t.test('a value not given is the default of its flag', async (t) => {
  const { values } = parseFlags(['-q', '--quiet=false'], { flags, isInterspersed: true })
  const got = flagValues(flags, values)
  t.equal(got.text('tail'), 'all')
  t.notOk(got.isSet('tail'))
  t.notOk(got.isOn('quiet'), 'the last one counts')
  t.strictSame(got.all('env'), [])
  t.strictSame(
    got.given().map((flag) => flag.name),
    ['quiet'],
  )
})
