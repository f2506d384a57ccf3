// Values of flags with a grammar of their own, and the words for those that break it.

import t from 'tap'
import { parseCsv } from '../../../agent/cli/csv.ts'
import {
  checkDnsSearch,
  checkExtraHost,
  checkIp,
  checkLabel,
} from '../../../agent/cli/opts/list.ts'
import { parseMount } from '../../../agent/cli/opts/mount.ts'
import { parsePorts } from '../../../agent/cli/opts/port.ts'
import { parseUlimit, splitWords } from '../../../agent/cli/opts/process.ts'
import { parseFileReference, parseNetwork } from '../../../agent/cli/opts/reference.ts'
import { parseAddressRanges, parseNodeAddress } from '../../../agent/cli/opts/swarm.ts'
import { parseTimestamp } from '../../../agent/cli/timestamp.ts'

const mount = (text: string): unknown => parseMount(text, '/home/me')
const secret = (text: string): unknown => parseFileReference(text, 'secret')
const tcp = { Protocol: 'tcp', PublishMode: 'ingress' }

t.test('a value is read as docker reads it', async (t) => {
  const cases: readonly (readonly [(text: string) => unknown, string, unknown])[] = [
    [parsePorts, '80', [{ ...tcp, TargetPort: 80 }]],
    [parsePorts, '53:5353/UDP', [{ ...tcp, Protocol: 'udp', TargetPort: 5353, PublishedPort: 53 }]],
    [
      parsePorts,
      '80-81:8080',
      [
        { ...tcp, TargetPort: 8080, PublishedPort: 80 },
        { ...tcp, TargetPort: 8080, PublishedPort: 81 },
      ],
    ],
    [mount, 'src=./a,dst=/b', { Type: 'volume', Source: '/home/me/a', Target: '/b' }],
    [
      mount,
      'type=bind,"src=/a,b",dst=/c,ro',
      { Type: 'bind', Source: '/a,b', Target: '/c', ReadOnly: true },
    ],
    [parseUlimit, 'nofile=5', { Name: 'nofile', Hard: 5, Soft: 5 }],
    [parseUlimit, 'core=0:-1', { Name: 'core', Hard: -1, Soft: 0 }],
    [secret, 'a', { name: 'a', file: { Name: 'a', UID: '0', GID: '0', Mode: 0o444 } }],
    [
      secret,
      'src=a,mode=0400',
      { name: 'a', file: { Name: 'a', UID: '0', GID: '0', Mode: 0o400 } },
    ],
    [parseNetwork, 'name=n,alias=a,alias=b', { Target: 'n', Aliases: ['a', 'b'] }],
    [splitWords, `sh -c "a \\" b" 'c d' e\\ f # no`, ['sh', '-c', 'a " b', 'c d', 'e f']],
    [splitWords, '', []],
    [checkIp, ' 0:0:0:0:0:0:0:1 ', '::1'],
    [checkExtraHost, 'h=[::1]', 'h:::1'],
    [checkDnsSearch, ' a.com ', 'a.com'],
    [parseCsv, 'a,"b ""c"",d",', ['a', 'b "c",d', '']],
    [parseNodeAddress, 'eth0', 'eth0:2377'],
    [parseNodeAddress, ':99', '0.0.0.0:99'],
    [parseNodeAddress, '[::1]:5', '[::1]:5'],
    [parseAddressRanges, '10.0.0.0/8,fd00::/8', ['10.0.0.0/8', 'fd00::/8']],
  ]
  for (const [read, text, want] of cases) t.strictSame(read(text), want, `${read.name} ${text}`)
})

t.test('a value that breaks the grammar is told in docker words', async (t) => {
  const cases: readonly (readonly [(text: string) => unknown, string, string])[] = [
    [parsePorts, '1.2.3.4:80:80', 'hostip is not supported'],
    [parsePorts, '80/xyz', 'invalid proto: xyz'],
    [parsePorts, '', 'no port specified: <empty>'],
    [parsePorts, 'published=1', "missing mandatory field 'target'"],
    [parsePorts, 'target=x', 'invalid target port (x): value must be an integer: invalid syntax'],
    [
      parsePorts,
      '80-82:80-81',
      'invalid ranges specified for container and host Ports: 80-81 and 80-82',
    ],
    [mount, 'type=bind,src=/a', 'target is required'],
    [mount, 'dst=/b,foo=1', "unexpected key 'foo' in 'foo=1'"],
    [mount, 'dst=/b,bind-propagation=x', "cannot mix 'bind-*' options with mount type 'volume'"],
    [mount, '', 'EOF'],
    [parseUlimit, 'foo=1', 'invalid ulimit type: foo'],
    [
      parseUlimit,
      'nofile=5:3',
      'ulimit soft limit must be less than or equal to hard limit: 5 > 3',
    ],
    [secret, 'a,b', "invalid field 'a' must be a key=value pair"],
    [secret, 'target=x', 'source is required'],
    [parseNetwork, 'name=x,foo=y', 'invalid field key foo'],
    [splitWords, 'a "b', 'EOF found when expecting closing quote'],
    [checkLabel, 'a b=c', "label 'a b' contains whitespaces"],
    [checkExtraHost, 'a:b', 'invalid IP address in add-host: "b"'],
    [parseCsv, 'a"b', 'parse error on line 1, column 2: bare " in non-quoted-field'],
  ]
  for (const [read, text, message] of cases) {
    t.throws(() => read(text), { message }, `${read.name} ${text}`)
  }
})

t.test('a time is ago, a date with parts left out, or seconds', async (t) => {
  const nowMs = Date.parse('2026-11-22T17:00:00Z')
  const seconds = (text: string): string => String(Date.parse(text) / 1000)
  t.equal(parseTimestamp('10m', nowMs), seconds('2026-11-22T16:50:00Z'))
  t.equal(
    parseTimestamp('2026-11-22T16:00:00.5Z', nowMs),
    `${seconds('2026-11-22T16:00:00Z')}.500000000`,
  )
  t.equal(
    parseTimestamp('2026-11-22T16:00+01:00', nowMs),
    `${seconds('2026-11-22T15:00:00Z')}.000000000`,
  )
  t.equal(parseTimestamp('1700000000', nowMs), '1700000000')
  t.throws(() => parseTimestamp('yesterday', nowMs), {
    message: 'failed to parse value as time or duration: "yesterday"',
  })
})
