// Made names: valid, new, and the same for the same seed.

import t from 'tap'
import { asId, type ServiceId } from '../../../core/base/id.ts'
import { numberedRandom } from '../../../core/base/random.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'
import { makeServiceName } from '../../../core/spec/service-name.ts'
import { checkAnnotations } from '../../../core/spec/validate.ts'
import { SmallCluster } from '../machine/small-cluster.ts'

t.test('a made name keeps the rules of names', async (t) => {
  const random = numberedRandom(1)
  const names = Array.from({ length: 200 }, () => makeServiceName(random, () => false))
  t.strictSame(
    names.flatMap((name) => [...checkAnnotations({ name, labels: {} })]),
    [],
  )
})

t.test('a made name is not one that is taken, though all plain ones are', async (t) => {
  const taken = new Set<string>()
  const random = numberedRandom(2)
  const name = makeServiceName(random, (each) => !/\d/.test(each) || taken.has(each))
  t.match(name, /^[a-z]+_[a-z]+_\d+$/)
})

t.test('the same seed makes the same name', async (t) => {
  const make = () => makeServiceName(numberedRandom(3), () => false)
  t.equal(make(), make())
})

t.test('a service that is given no name gets one', async (t) => {
  const cluster = new SmallCluster()
  const spec = parseServiceSpec({ TaskTemplate: { ContainerSpec: { Image: 'good' } } })
  const { id } = cluster.submit({ type: 'service.create', spec })
  t.match(cluster.view.get('service', asId<ServiceId>(id))?.spec.name, /^[a-z]+_[a-z]+$/)
})
