// What is made comparable in a transcript: each id, also the one of fifty that looks like a word.

import t from 'tap'
import { normalise } from './transcript.ts'

const cases = [
  {
    name: 'an id first in a row',
    given: '1jwhlz2x3rb1   web-fe.1   n1\n',
    want: '<id>   web-fe.1   n1\n',
  },
  { name: 'one of letters alone', given: 'uomeugweegeo   web-fe.2\n', want: '<id>   web-fe.2\n' },
  { name: 'a row of nothing else', given: 'uomeugweegeo\n', want: '<id>\n' },
  { name: 'the node that answers', given: 'uomeugweegeo *   n1\n', want: '<id> *   n1\n' },
  {
    name: 'the task of a line of a log',
    given: 'web-fe.2.uomeugweegeo@n1    | ok\n',
    want: 'web-fe.2.<id>@n1   | ok\n',
  },
  {
    name: 'a word of twelve letters is no id',
    given: 'nigelpoulton/ddd-web was successfully pulled\n',
    want: 'nigelpoulton/ddd-web was successfully pulled\n',
  },
  { name: 'an age', given: 'Running about a minute ago\n', want: 'Running <age> ago\n' },
]
for (const { name, given, want } of cases) {
  t.test(name, async (t) => {
    t.equal(normalise(given), want)
  })
}
