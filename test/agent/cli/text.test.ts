// The small texts: human units, columns, natural order, JSON.

import t from 'tap'
import { compactJson, formatJson, indentJson } from '../../../agent/cli/json-text.ts'
import { compareNatural } from '../../../agent/cli/natural.ts'
import { alignColumns, ellipsis, listShape } from '../../../agent/cli/table.ts'
import {
  formatBytes,
  formatDecimalBytes,
  formatHumanDuration,
  parseMemoryBytes,
  parseNanoCpus,
} from '../../../agent/cli/units.ts'

t.test('a duration is told as people tell it', async (t) => {
  const [second, minute, hour] = [1000, 60_000, 3_600_000]
  const cases: readonly (readonly [number, string])[] = [
    [0, 'Less than a second'],
    [999, 'Less than a second'],
    [1.9 * second, '1 second'],
    [59.9 * second, '59 seconds'],
    [60 * second, 'About a minute'],
    [2 * minute, '2 minutes'],
    [59 * minute, '59 minutes'],
    [60 * minute, 'About an hour'],
    [89 * minute, 'About an hour'],
    [90 * minute, '2 hours'],
    [47 * hour, '47 hours'],
    [48 * hour, '2 days'],
    [14 * 24 * hour, '2 weeks'],
    [60 * 24 * hour, '2 months'],
    [90 * 24 * hour, '3 months'],
    [731 * 24 * hour, '2 years'],
  ]
  for (const [ms, want] of cases) t.equal(formatHumanDuration(ms), want, String(ms))
})

t.test('sizes are read and written in both scales', async (t) => {
  t.equal(formatBytes(25_276_502_016), '23.54GiB')
  t.equal(formatBytes(64 * 1024 ** 2), '64MiB')
  t.equal(formatBytes(0), '0B')
  t.equal(formatBytes(1023.99 * 1024), '1024KiB')
  t.equal(formatDecimalBytes(1500), '1.5kB')
  const cases: readonly (readonly [string, number])[] = [
    ['64m', 64 * 1024 ** 2],
    ['1.5g', 1.5 * 1024 ** 3],
    ['1 KiB', 1024],
    ['32b', 32],
    ['100', 100],
  ]
  for (const [text, want] of cases) t.equal(parseMemoryBytes(text), want, text)
  t.throws(() => parseMemoryBytes('5q'), { message: "invalid suffix: 'q'" })
  t.throws(() => parseMemoryBytes('x'), { message: "invalid size: 'x'" })
  t.throws(() => parseMemoryBytes('-5'), { message: "invalid size: '-5'" })
  t.equal(parseNanoCpus('0.5'), 500_000_000)
  t.equal(parseNanoCpus('1/4'), 250_000_000)
  t.equal(parseNanoCpus('1e-9'), 1)
  t.throws(() => parseNanoCpus('0.0000000001'), { message: 'value is too precise' })
  t.throws(() => parseNanoCpus('x'), { message: 'failed to parse x as a rational number' })
})

t.test('columns are as wide as their widest cell, ten at least', async (t) => {
  const text = 'ID\tNAME\tPORTS\nabc\ta-long-name-here\t\nnone\n1\t2\t3\n'
  t.equal(
    alignColumns(text, listShape),
    [
      'ID        NAME               PORTS',
      'abc       a-long-name-here   ',
      'none',
      '1         2         3',
      '',
    ].join('\n'),
  )
  t.equal(alignColumns('日本語語語\tx\n', listShape), '日本語語語   x\n')
  t.equal(ellipsis('no suitable node (host-mode port)', 30), 'no suitable node (host-mode p…')
})

t.test('names are ordered as people read them', async (t) => {
  const names = ['web.10', 'web.2', 'Web', 'web', 'web.02', '2', 'a2b', 'a2', 'a-1']
  t.strictSame(names.toSorted(compareNatural), [
    '2',
    'Web',
    'a2',
    'a2b',
    'a-1',
    'web',
    'web.2',
    'web.02',
    'web.10',
  ])
})

t.test('JSON keeps the bytes of the daemon', async (t) => {
  const text = '{"a":[],"b":{},"c":[1,{"d":"x, {y}: \\"z\\""}],"n":12345678901234567890}'
  t.equal(
    indentJson(text),
    [
      '{',
      '    "a": [],',
      '    "b": {},',
      '    "c": [',
      '        1,',
      '        {',
      '            "d": "x, {y}: \\"z\\""',
      '        }',
      '    ],',
      '    "n": 12345678901234567890',
      '}',
    ].join('\n'),
  )
  t.equal(compactJson(indentJson(text)), text)
  t.equal(formatJson('a->b&', { isHtmlSafe: true }), '"a-\\u003eb\\u0026"')
  t.equal(formatJson('a->b&', { isHtmlSafe: false }), '"a->b&"')
})
