// Addresses: texts in and out, and the arithmetic of subnets.

import { isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import {
  type Cidr,
  containsIp,
  firstIp,
  formatCidr,
  formatIp,
  formatMac,
  lastIp,
  offsetIp,
  overlaps,
  parseCidr,
  parseIp,
  parseMac,
  subnetOf,
  subnetSize,
} from '../../../core/base/address.ts'

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === undefined) throw new Error(`${text} is no subnet`)
  return parsed
}

t.test('addresses and their shortest texts', async (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['10.0.1.7', '10.0.1.7'],
    ['255.255.255.255', '255.255.255.255'],
    ['010.0.0.1', undefined],
    ['1.2.3', undefined],
    ['1.2.3.256', undefined],
    ['1.2.3.4.5', undefined],
    ['', undefined],
    ['a', undefined],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['FD00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['1.2.3.4::', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1:2:3:4::5:6:7:8', undefined],
    ['1::2::3', undefined],
    [':::', undefined],
    ['fe80::1%eth0', undefined],
    ['12345::', undefined],
  ]
  for (const [text, want] of cases) {
    const ip = parseIp(text)
    t.equal(ip && formatIp(ip), want, text)
  }
})

t.test('every address reads back, and garbage is what the platform calls garbage', async (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const ip = parseIp(text)
      return ip !== undefined && String(parseIp(formatIp(ip))?.value) === String(ip.value)
    }),
    { numRuns: 300 },
  )
  const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', '255', '256', 'g', '/')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('')
      return (parseIp(text) !== undefined) === isIP(text) > 0
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

t.test('subnets', async (t) => {
  t.equal(formatCidr(cidr('10.0.1.7/24')), '10.0.1.7/24')
  t.equal(formatCidr(subnetOf(cidr('10.0.1.7/24'))), '10.0.1.0/24')
  t.equal(formatIp(firstIp(cidr('10.0.1.7/24'))), '10.0.1.0')
  t.equal(formatIp(lastIp(cidr('10.0.1.7/24'))), '10.0.1.255')
  t.equal(formatIp(lastIp(cidr('0.0.0.0/0'))), '255.255.255.255')
  t.equal(formatIp(lastIp(cidr('fd00::/64'))), 'fd00::ffff:ffff:ffff:ffff')
  t.equal(subnetSize(cidr('10.0.0.0/8')), 1n << 24n)
  t.equal(subnetSize(cidr('fd00::/64')), 1n << 64n)
  t.equal(formatCidr(cidr('::ffff:10.0.0.0/104')), '10.0.0.0/8')
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '/8',
    '::/129',
    'x/8',
  ]) {
    t.equal(parseCidr(text), undefined, text)
  }
})

t.test('what lies in a subnet, and which subnets overlap', async (t) => {
  const contains = (subnet: string, text: string): boolean => {
    const ip = parseIp(text)
    return ip !== undefined && containsIp(cidr(subnet), ip)
  }
  t.ok(contains('10.0.1.9/24', '10.0.1.255'))
  t.notOk(contains('10.0.1.0/24', '10.0.2.0'))
  t.ok(contains('0.0.0.0/0', '1.2.3.4'))
  t.notOk(contains('::/0', '1.2.3.4'), 'not across versions')
  t.ok(overlaps(cidr('10.0.0.0/8'), cidr('10.1.0.0/16')))
  t.ok(overlaps(cidr('10.1.0.0/16'), cidr('10.0.0.0/8')))
  t.notOk(overlaps(cidr('10.1.0.0/16'), cidr('10.2.0.0/16')))
})

t.test('an offset stays within all addresses', async (t) => {
  const ip = parseIp('10.0.0.255')
  const moved = ip && offsetIp(ip, 2)
  t.equal(moved && formatIp(moved), '10.0.1.1')
  const last = parseIp('255.255.255.255')
  t.equal(last && offsetIp(last, 1), undefined)
  const first = parseIp('::')
  t.equal(first && offsetIp(first, -1n), undefined)
})

t.test('MACs', async (t) => {
  const mac = parseMac('02:42:0A:00:01:07')
  t.equal(mac && formatMac(mac), '02:42:0a:00:01:07')
  t.strictSame(parseMac('02-42-0a-00-01-07'), mac)
  for (const text of ['', '02:42', '02:42:0a:00:01:0', '02:42-0a:00:01:07', '02:42:0a:00:01:0g']) {
    t.equal(parseMac(text), undefined, text)
  }
})
