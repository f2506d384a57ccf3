// Files inside the executable; here, from source, they are files of the repository.

import t from 'tap'
import { readAsset } from '../../agent/base/assets.ts'

t.test('an asset is found by its path from the root, wherever the process runs', async (t) => {
  const folder = process.cwd()
  t.teardown(() => process.chdir(folder))
  process.chdir('/')
  t.match(readAsset('package.json'), '"name": "skep"')
  t.throws(() => readAsset('agent/none.html'), { code: 'ENOENT' })
})
