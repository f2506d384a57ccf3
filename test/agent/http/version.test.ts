// Versions of the API: which we speak, and what an engine gets to see.

import t from 'tap'
import {
  checkVersion,
  compareVersions,
  offeredVersion,
  pathForEngine,
} from '../../../agent/http/version.ts'

t.test('versions are compared as numbers, not as text', async (t) => {
  t.ok(compareVersions('1.9', '1.24') < 0)
  t.ok(compareVersions('1.44', '1.41') > 0)
  t.equal(compareVersions('1.44', '1.44'), 0)
})

t.test('an old engine does not make us too old for new clients', async (t) => {
  t.equal(offeredVersion(undefined), '1.44')
  t.equal(offeredVersion('1.41'), '1.44')
  t.equal(offeredVersion('1.47'), '1.47')
  t.equal(offeredVersion('1.90'), '1.51')
})

t.test('versions outside of ours are refused in the words of Docker', async (t) => {
  t.throws(() => checkVersion('1.23', '1.44'), {
    message:
      'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  })
  t.throws(() => checkVersion('1.99', '1.44'), {
    message: 'client version 1.99 is too new. Maximum supported API version is 1.44',
  })
  t.doesNotThrow(() => checkVersion('1.24', '1.44'))
})

t.test('a path goes to the engine in the nearest version that it speaks', async (t) => {
  const limits = { min: '1.25', max: '1.41' }
  const rows = [
    { given: '/v1.44/containers/json?all=1', want: '/v1.41/containers/json?all=1' },
    { given: '/v1.24/containers/json', want: '/v1.25/containers/json' },
    { given: '/v1.30/info', want: '/v1.30/info' },
    { given: '/containers/json', want: '/containers/json' },
    { given: '/volumes/v1.44', want: '/volumes/v1.44' },
  ]
  for (const { given, want } of rows) t.equal(pathForEngine(given, limits), want)
  t.equal(pathForEngine('/v1.44/info', undefined), '/v1.44/info', 'unknown limits change nothing')
})
