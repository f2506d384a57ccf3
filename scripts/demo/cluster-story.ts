// The story of a cluster: five machines on two subnets, of which three are managers. A leader is
// killed and a worker loses its power while visitors ask for the page and get it.

import { count, expect, expectCount, type Line, type Story } from './step.ts'

const service = 'web-fe'
const image = 'nigelpoulton/ddd-web'
const listNodes = 'agent node ls'
const listTasks = `agent service ps --filter desired-state=running ${service}`
const listServices = 'agent service ls'

function join(number: number, role: 'manager' | 'worker'): Line {
  return { on: number, text: (stage) => `agent join --no-service ${stage.notes.get(role) ?? ''}` }
}

export const clusterStory: Story = {
  machines: { hosts: 5, farHosts: 2 },
  steps: [
    {
      title: 'A cluster of one, and a token for each kind of newcomer',
      lines: ['agent init --no-service', 'agent token manager -q', 'agent token worker -q'],
      check: ([, manager = '', worker = ''], stage) => {
        expect(manager, /^SWMTKN-1-\S+$/m, 'a token for managers')
        expect(worker, /^SWMTKN-1-\S+$/m, 'a token for workers')
        stage.notes.set('manager', manager.trim())
        stage.notes.set('worker', worker.trim())
        return ''
      },
    },
    {
      title: 'Four machines join, by the token alone; n4 and n5 stand behind a router',
      lines: [
        join(2, 'manager'),
        join(4, 'manager'),
        join(3, 'worker'),
        join(5, 'worker'),
        listNodes,
      ],
      check: (outputs) => {
        const [two = '', four = '', , , nodes = ''] = outputs
        expect(two + four, /(as a manager[\s\S]*){2}/, 'two managers have joined')
        expectCount(nodes, / Ready /g, 5, 'nodes that are ready')
        expect(nodes, /Leader/, 'one manager leads')
        expectCount(nodes, / Reachable /g, 2, 'more managers')
        return 'five nodes on two subnets joined by a word'
      },
    },
    {
      title: 'Ten replicas, two on each node; asked of a manager that does not lead',
      lines: [
        {
          on: 4,
          text: `agent service create --name ${service} --publish 8080:8080 --replicas 10 ${image}:1.0`,
        },
        listServices,
        listTasks,
      ],
      check: ([, list = '', tasks = '']) => {
        expect(list, /10\/10/, '10 of 10 replicas run')
        for (const node of ['n1', 'n2', 'n3', 'n4', 'n5']) {
          expectCount(tasks, new RegExp(` ${node} +Running`, 'g'), 2, `tasks on ${node}`)
        }
        return 'ten replicas spread over them'
      },
    },
    {
      title: 'The leader is killed; visitors of n3 notice nothing, and n2 takes a new order',
      lines: [
        "kill -9 $(pgrep --full '[a]gent daemon')",
        { on: 2, text: `agent service scale ${service}=15` },
        { on: 2, text: listNodes },
      ],
      beside: async (stage) => {
        const endVisit = await stage.visit(`http://${stage.host(3).address}:8080/`, 3)
        return async () => {
          const { requests, lost, reasons } = await endVisit()
          if (lost > 0) throw new Error(`${lost} of ${requests} requests lost: ${reasons.join()}`)
          return `${requests} requests while the leader was killed; none lost`
        }
      },
      check: ([, scaled = '', nodes = '']) => {
        expect(scaled, /converged/, 'the next leader scales')
        expect(nodes, / (n2|n4) .*Leader/, 'n2 or n4 leads')
        return 'a killed leader replaced without a lost request'
      },
    },
    {
      title: 'Its agent comes back: its containers ran on, and it joins its own again',
      lines: [],
      check: async (_outputs, stage) => {
        stage.startAgent(1)
        const isBack = (nodes: string): boolean => count(nodes, / Ready /g) === 5
        console.log(await stage.shellUntil('return of n1', listNodes, isBack, 2))
        return ''
      },
    },
    {
      title: 'A worker loses its power; its tasks run elsewhere',
      lines: [],
      beside: async (stage) => {
        const endVisit = await stage.visit(`http://${stage.host(3).address}:8080/`, 3)
        await stage.host(5).powerOff()
        const isReplaced = (tasks: string): boolean =>
          !/ n5 /.test(tasks) && count(tasks, / Running +Running /g) === 15
        console.log(await stage.shellUntil('replacements', listTasks, isReplaced, 2))
        const isDown = (nodes: string): boolean => / n5 +Down /.test(nodes)
        console.log(await stage.shellUntil('verdict on n5', listNodes, isDown, 2))
        return async () => {
          const { requests, lost, reasons } = await endVisit()
          if (lost > 0) throw new Error(`${lost} of ${requests} requests lost: ${reasons.join()}`)
          return `${requests} requests on n3 meanwhile; none lost`
        }
      },
      check: () => "a dead worker's tasks replaced",
    },
    {
      title: 'And it is gone',
      lines: [
        { on: 2, text: `agent service rm ${service}` },
        { on: 3, text: 'agent leave' },
        { on: 2, text: listNodes },
      ],
      check: ([, left = '']) => {
        expect(left, /Node left the swarm/, 'a worker leaves')
        return 'removed'
      },
    },
  ],
}
