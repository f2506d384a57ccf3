// The counting of TAP points, on which the verdict of every other test rests.

import t from 'tap'
import { readTap } from '../../scripts/tap.ts'

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
