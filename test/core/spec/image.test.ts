// Image references: their parts, and what is none.

import t from 'tap'
import { parseImage } from '../../../core/spec/image.ts'

const hub = { domain: 'docker.io' }
const sha = `sha256:${'0'.repeat(64)}`

t.test('references', async (t) => {
  const cases: readonly (readonly [string, object | undefined])[] = [
    ['nginx', { ...hub, path: 'library/nginx' }],
    ['nginx:1.25', { ...hub, path: 'library/nginx', tag: '1.25' }],
    ['user/app', { ...hub, path: 'user/app' }],
    ['docker.io/nginx', { ...hub, path: 'library/nginx' }],
    ['index.docker.io/user/app', { ...hub, path: 'user/app' }],
    ['localhost/app', { domain: 'localhost', path: 'app' }],
    ['localhost:5000/app:v1', { domain: 'localhost:5000', path: 'app', tag: 'v1' }],
    ['[::1]:5000/app', { domain: '[::1]:5000', path: 'app' }],
    ['Host/app', { domain: 'Host', path: 'app' }],
    [`a.b/c/d_e__f-g.h@${sha}`, { domain: 'a.b', path: 'c/d_e__f-g.h', digest: sha }],
    [`nginx:1@${sha}`, { ...hub, path: 'library/nginx', tag: '1', digest: sha }],
    ['', undefined],
    ['NGINX', undefined],
    ['user/App', undefined],
    ['a b', undefined],
    ['a:', undefined],
    ['a:b:c', undefined],
    ['a@', undefined],
    ['a@sha256:00', undefined],
    [`a@${sha}@${sha}`, undefined],
    [`a@sha512:${'0'.repeat(64)}`, undefined],
    ['a//b', undefined],
    ['-a', undefined],
    ['a-', undefined],
    ['a___b', undefined],
    ['-host.x/a', undefined],
    ['http://a/b', undefined],
    ['f'.repeat(64), undefined],
    [`a.b/${'c'.repeat(256)}`, undefined],
    [`a:${'t'.repeat(129)}`, undefined],
  ]
  for (const [text, want] of cases) t.strictSame(parseImage(text), want, text)
})
