// Go templates of --format: what they give, and what is said of wrong ones. All wanted texts were seen
// from the docker CLI.

import t from 'tap'
import { makeStruct } from '../../../agent/cli/go-print.ts'
import { goValue } from '../../../agent/cli/go-types.ts'
import { compileTemplate, runTemplate } from '../../../agent/cli/template.ts'

const row = makeStruct(
  '*node.nodeContext',
  {
    ID: 'dbcde',
    Hostname: 'n1',
    Self: true,
    Count: 3,
    Names: ['a', 'b'],
    Labels: { z: '1', a: '2' },
    Missing: undefined,
  },
  { Label: (name) => `label-${name}` },
)

const format = (text: string): string => runTemplate(compileTemplate(text), row)

t.test('a template gives the text that Go gives', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['{{.ID}} {{.Self}} {{.Count}}', 'dbcde true 3'],
    [
      '{{json .}}',
      '{"ID":"dbcde","Hostname":"n1","Self":true,"Count":3,"Names":["a","b"],"Labels":{"z":"1","a":"2"}}',
    ],
    ['{{.Names}} {{.Labels}} {{.Missing}}', '[a b] map[a:2 z:1] <no value>'],
    ['{{.Hostname | printf "%-5s|" | upper}}{{len .ID}}{{index .ID 0}}', 'N1   |5100'],
    ['{{with .Hostname}}{{.}}{{else}}none{{end}} {{$x := .ID}}{{$x}}', 'n1 dbcde'],
    ['{{printf "%q %v %d %05.1f %x" .ID .Self 5 1.25 255}}', '"dbcde" true 5 001.3 ff'],
    ['{{eq .Hostname "n1"}} {{and .Self true}} {{not .Self}} {{or "" "d"}}', 'true true false d'],
    [
      '{{join (split .Hostname "") ","}} {{title "hello world"}} {{truncate .ID 3}}',
      'n,1 Hello World dbc',
    ],
    ['{{range $i, $c := .Names}}{{$i}}={{$c}};{{end}}', '0=a;1=b;'],
    ['{{range .Names}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{else}}none{{end}}', 'a'],
    ['{{range $k, $v := .Labels}}{{$k}}{{$v}} {{end}}', 'a2 z1 '],
    ['x{{/* c */}}y {{- "z" -}}  w', 'xyzw'],
    ['{{if eq .Count 1}}a{{else if gt .Count 2}}b{{else}}c{{end}}', 'b'],
    ['{{.Label "x"}} {{index .Labels "z"}} {{index .Names 1}}', 'label-x 1 b'],
    ['{{println .ID 1}}', 'dbcde 1\n'],
    ['{{`raw\\n`}}{{"\\u0041"}}', 'raw\\nA'],
    ['{{pad .Hostname 2 1}}|{{lower "AB"}}|{{print 1 2 "x"}}', '  n1 |ab|1 2x'],
  ]
  for (const [text, want] of cases) t.equal(format(text), want, text)
})

t.test('a wrong template is told with its place', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['{{.Foo', 'template: :1: unclosed action'],
    ['{{foo}}', 'template: :1: function "foo" not defined'],
    ['{{end}}', 'template: :1: unexpected {{end}}'],
    ['{{if .Self}}x', 'template: :1: unexpected EOF'],
    ['{{"a}}', 'template: :1: unterminated quoted string'],
    ['{{$x}}', 'template: :1: undefined variable "$x"'],
    ['{{}}', 'template: :1: missing value for command'],
    [
      '{{.Foo}}',
      'template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type *node.nodeContext',
    ],
    [
      'a\n{{.ID.X}}',
      'template: :2:5: executing "" at <.ID.X>: can\'t evaluate field X in type string',
    ],
    ['{{nil}}', 'template: :1:2: executing "" at <nil>: nil is not a command'],
    [
      '{{index .Names 5}}',
      'template: :1:2: executing "" at <index .Names 5>: error calling index: index out of range: 5',
    ],
  ]
  for (const [text, message] of cases) t.throws(() => format(text), { message }, text)
})

t.test('a key that a map lacks is told only when asked', async (t) => {
  const template = compileTemplate('{{.a.b}}')
  t.equal(runTemplate(template, { a: {} }), '<no value>')
  t.throws(() => runTemplate(template, { a: {} }, { isStrict: true }), {
    message: 'template: :1:4: executing "" at <.a.b>: map has no entry for key "b"',
  })
})

t.test('inspect sees the structs of docker, with zeros for what is left out', async (t) => {
  const service = goValue(
    {
      ID: 'x',
      Version: { Index: 5 },
      CreatedAt: '2026-11-22T14:21:23.8180Z',
      Spec: {
        Name: 'web',
        Labels: { a: 'b' },
        TaskTemplate: { ContainerSpec: { Image: 'i', StopGracePeriod: 3_000_000_000 } },
        UpdateConfig: { Parallelism: 1, Monitor: 5_000_000_000, Order: 'stop-first' },
      },
      Endpoint: { Ports: [{ Protocol: 'tcp', TargetPort: 80 }] },
    },
    'swarm.Service',
  )
  const cases: readonly (readonly [string, string])[] = [
    [
      '{{.Spec.TaskTemplate.ContainerSpec.Args}}|{{.Spec.TaskTemplate.ContainerSpec.TTY}}',
      '[]|false',
    ],
    ['{{if .UpdateStatus}}x{{else}}none{{end}} {{.UpdateStatus}}', 'none <nil>'],
    ['{{.Version}} {{.Version.Index}} {{.Spec.Annotations.Name}}', '5 5 web'],
    ['{{.Spec.UpdateConfig}} {{.Endpoint.Ports}}', '{1 0s  5s 0 stop-first} [{ tcp 80 0 }]'],
    [
      '{{.CreatedAt}} {{json .CreatedAt}}',
      '2026-11-22 14:21:23.818 +0000 UTC "2026-11-22T14:21:23.8180Z"',
    ],
    [
      '{{.Spec.TaskTemplate.ContainerSpec.StopGracePeriod}} {{json .Endpoint}}',
      '3s {"Ports":[{"Protocol":"tcp","TargetPort":80}]}',
    ],
    ['{{index .Spec.Labels "zz"}}|{{.Spec.Labels.a}}|{{.Spec.Labels.zz}}', '|b|<no value>'],
  ]
  for (const [text, want] of cases) t.equal(runTemplate(compileTemplate(text), service), want, text)
  t.throws(() => runTemplate(compileTemplate('{{.UpdateStatus.State}}'), service), {
    message:
      'template: :1:15: executing "" at <.UpdateStatus.State>: nil pointer evaluating *swarm.UpdateStatus.State',
  })
  t.throws(() => runTemplate(compileTemplate('{{.Spec.Foo}}'), service), {
    message:
      'template: :1:7: executing "" at <.Spec.Foo>: can\'t evaluate field Foo in type swarm.ServiceSpec',
  })
  const config = goValue({ Spec: { Name: 'c', Data: 'aGk=' } }, 'swarm.Config')
  t.equal(
    runTemplate(compileTemplate('{{printf "%s" .Spec.Data}} {{.Spec.Data}}'), config),
    'hi [104 105]',
  )
})
