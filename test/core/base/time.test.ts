// Times and durations: RFC 3339 and Go's texts, both ways.

import fc from 'fast-check'
import t from 'tap'
import { formatDuration, formatTime, parseDuration, parseTime } from '../../../core/base/time.ts'

t.test('times are read as RFC 3339 has them', async (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['1970-01-01T00:00:00Z', 0],
    ['2026-11-22T14:25:05.027228343Z', 1_795_357_505_027],
    ['2026-11-22T15:25:05.027+01:00', 1_795_357_505_027],
    ['2026-11-22T13:55:05.0279-00:30', 1_795_357_505_027],
    ['0001-01-01T00:00:00Z', -62_135_596_800_000],
    ['2024-02-29T00:00:00z', 1_709_164_800_000],
    ['2023-02-29T00:00:00Z', undefined],
    ['2023-13-01T00:00:00Z', undefined],
    ['2023-01-01T24:00:00Z', undefined],
    ['2023-01-01T00:00:60Z', undefined],
    ['2023-01-01 00:00:00Z', undefined],
    ['2023-01-01T00:00:00', undefined],
    ['', undefined],
  ]
  for (const [text, want] of cases) t.equal(parseTime(text), want, text)
})

t.test('every millisecond of years 1 to 9999 comes back', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), (ms) => {
      const text = formatTime(ms)
      return parseTime(text) === ms && Date.parse(text) === ms
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('durations print as Go prints them', async (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [1, '1ns'],
    [1_500, '1.5µs'],
    [1_500_000, '1.5ms'],
    [1_500_000_000, '1.5s'],
    [90_000_000_000, '1m30s'],
    [3_600_000_000_000, '1h0m0s'],
    [3_600_000_000_001, '1h0m0.000000001s'],
    [-10_000_000_000, '-10s'],
  ]
  for (const [ns, want] of cases) {
    t.equal(formatDuration(ns), want)
    t.equal(parseDuration(want), ns)
  }
})
