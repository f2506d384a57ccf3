// The counting of TAP points, on which the verdict of every other test rests.

import t from 'tap'
import { readBatch, readFailures, readTap } from '../../scripts/tap.ts'

const cases = [
  { name: 'points and plan', given: 'ok 1 - a\nnot ok 2 - b\n1..2\n', want: [1, 1, 0] },
  {
    name: 'points of subtests are not counted',
    given: '    ok 1\nok 1 - a\n1..1',
    want: [1, 0, 0],
  },
  { name: 'a skipped point', given: 'ok 1 - a # SKIP no root\n1..1', want: [0, 0, 1] },
  { name: 'a skip inside a subtest', given: '    ok 1 # SKIP\nok 1 - a\n1..1', want: [1, 0, 1] },
  { name: 'an unfinished point', given: 'not ok 1 - a # TODO\n1..1', want: [0, 0, 1] },
  { name: 'a file that skips itself', given: '1..0 # no kernel support', want: [0, 0, 1] },
  {
    name: 'a word that only looks like a skip',
    given: 'ok 1 - skips \\# skip\n1..1',
    want: [1, 0, 0],
  },
]
for (const { name, given, want } of cases) {
  t.test(name, async (t) => {
    const { passed, failed, skipped, problem } = readTap(given)
    t.same([passed, failed, skipped], want)
    t.equal(problem, undefined)
  })
}

t.test('a file that ends before its plan has a problem', async (t) => {
  t.match(readTap('ok 1 - a\n').problem, 'no TAP plan')
  t.match(readTap('ok 1 - a\n1..2\n').problem, 'planned 2 tests, ran 1')
  t.match(readTap('ok 1 - a\nBail out! disk\n1..1').problem, 'Bail out! disk')
})

const batch = `TAP version 14
# Subtest: test/core/a.test.ts
    # Subtest: it adds
        ok 1 - one and one
        not ok 2 - one and two
          ---
          compare: ===
          at:
            fileName: test/core/a.test.ts
            lineNumber: 7
          stack: |
            Test.<anonymous> (test/core/a.test.ts:7:3)
          source: |
            t.equal(1 + 2, 4)
            --^

          diff: |
            -4
            +3
          ...

        1..2
    not ok 1 - it adds # time=3ms

    1..1
not ok 1 - test/core/a.test.ts # time=12.5ms

# Subtest: test/core/b.test.ts
    ok 1 - it is there # SKIP no root
    1..1
ok 2 - test/core/b.test.ts # time=2ms

# Subtest: test/core/c.test.ts
    ok 1 - the last word before a crash
`

t.test('a batch is taken apart, without the file that did not come to its end', async (t) => {
  const files = readBatch(batch)
  t.same([...files.keys()], ['test/core/a.test.ts', 'test/core/b.test.ts'])
  const [a, b] = [...files.values()]
  t.match(a, { ms: 12.5, tap: { passed: 0, failed: 1, skipped: 0, problem: undefined } })
  t.match(a?.output, /^# Subtest: it adds\n {4}ok 1 - one and one\n/)
  t.match(b, { ms: 2, tap: { passed: 0, failed: 0, skipped: 1, problem: undefined } })
})

t.test('a file that fails though none of its tests does has a problem', async (t) => {
  const [file] = readBatch(
    '# Subtest: a.test.ts\n    ok 1\n    1..1\nnot ok 1 - a.test.ts # time=1ms',
  )
  t.match(file?.[1].tap, { failed: 0, problem: 'failed outside its tests' })
})

t.test('of failures the innermost is told, with its place and its difference', async (t) => {
  const output = readBatch(batch).get('test/core/a.test.ts')?.output ?? ''
  t.strictSame(readFailures(output), [
    {
      path: ['it adds', 'one and two'],
      at: 'test/core/a.test.ts:7',
      details: ['diff: |', '  -4', '  +3'],
    },
  ])
})
