// The story that the demo tells: one machine, from nothing to a rolling update.

import { isInPath } from '../packages.ts'
import { count, expect, expectAnswers, expectCount, type Story } from './step.ts'

const service = 'web-fe'
const page = 'http://127.0.0.1:8080/'
const image = 'nigelpoulton/ddd-web'
const socket = 'unix:///run/skep/agent.sock'
const askTwenty = `for i in $(seq 20); do curl --silent ${page}; done | sort | uniq --count`
const listServices = 'agent service ls'

export const story: Story = {
  machines: { hosts: 1, farHosts: 0 },
  steps: [
    {
      title: 'One file makes a cluster',
      lines: ['agent init', 'agent node ls'],
      check: ([init = '', nodes = '']) => {
        expect(init, /SWMTKN-1-/, 'agent init prints how others join')
        expect(nodes, /\* .*Ready.*Active.*Leader/, 'this node is ready and leads')
        return 'a cluster out of one file'
      },
    },
    {
      title: 'Five replicas of a page, on port 8080',
      lines: [
        `agent service create --name ${service} --publish 8080:8080 --replicas 5 ${image}:1.0`,
        listServices,
        `agent service ps ${service}`,
      ],
      check: ([, list = '', tasks = '']) => {
        expect(list, /5\/5/, '5 of 5 replicas run')
        expectCount(tasks, /Running [^ ]+ .*ago/g, 5, 'running tasks')
        return '5 replicas'
      },
    },
    {
      title: 'Twenty requests, answered by five containers',
      lines: [askTwenty],
      check: ([answers = '']) => {
        expectAnswers(answers, { requests: 20, containers: 5, version: '1.0' })
        return '20 requests answered by 5 containers'
      },
    },
    {
      title: 'A container dies; another takes its place',
      told: 'The oldest web server is killed by its process, behind the back of agent and engine.',
      lines: ['kill -9 $(pgrep --oldest httpd)'],
      check: async (_outputs, stage) => {
        const isReplaced = (tasks: string): boolean =>
          /Failed/.test(tasks) && count(tasks, /Running\s+Running /g) === 5
        const line = `agent service ps ${service}`
        await stage.shellUntil('replacement of the dead container', line, isReplaced)
        return 'a killed container replaced'
      },
    },
    {
      title: 'Five again',
      lines: [`agent service ps ${service}`, listServices],
      check: ([tasks = '', list = '']) => {
        expect(tasks, /Shutdown\s+Failed/, 'the dead task is told')
        expect(list, /5\/5/, '5 of 5 replicas run')
        return ''
      },
    },
    {
      title: 'Ten of them',
      lines: [`agent service scale ${service}=10`, listServices],
      check: ([, list = '']) => {
        expect(list, /10\/10/, '10 of 10 replicas run')
        return 'scaled to 10'
      },
    },
    {
      title: 'From 1.0 to 2.0, two at a time, while visitors keep coming',
      lines: [`agent service update --image ${image}:2.0 --update-parallelism 2 ${service}`],
      beside: async (stage) => {
        const endVisit = await stage.visit(page)
        return async () => {
          const { requests, lost, reasons, versions } = await endVisit()
          const seen = Object.entries(versions).map(([version, pages]) => `${pages} of ${version}`)
          const told = `${requests} requests during the update: ${seen.join(', ')}; ${lost} lost`
          if (lost > 0) throw new Error(`${told}: ${reasons.join('; ')}`)
          if (Object.keys(versions).length !== 2) throw new Error(`${told}: not both versions`)
          return told
        }
      },
      check: () => 'updated to 2.0 without a lost request',
    },
    {
      title: 'All ten show the new page',
      lines: [askTwenty, listServices],
      check: ([answers = '', list = '']) => {
        expectAnswers(answers, { requests: 20, containers: 10, version: '2.0' })
        expect(list, /10\/10 .*2\.0/, '10 of 10 replicas run, with the new image')
        return ''
      },
    },
    {
      title: 'What it says, and what it is',
      lines: [
        `agent service logs ${service} 2>&1 | grep listening`,
        `agent service inspect --pretty ${service}`,
      ],
      check: ([logs = '', inspected = '']) => {
        expect(logs, /web-fe\.\d+\.\S+@\S+ +\| ddd-web 2\.0 /, 'logs name task and node')
        expect(inspected, /UpdateStatus:[\s\S]*completed/, 'the update is complete')
        return 'logs and inspect'
      },
    },
    {
      title: 'The docker command line works on it, too',
      isPossible: () => isInPath('docker'),
      lines: [
        `docker -H ${socket} service ls`,
        `docker -H ${socket} service ps --filter desired-state=running ${service}`,
      ],
      check: ([list = '', tasks = '']) => {
        expect(list, /10\/10/, 'docker sees 10 of 10 replicas')
        expectCount(tasks, /Running [^ ]+ .*ago/g, 10, 'running tasks')
        return 'the docker CLI on the same socket'
      },
    },
    {
      title: 'And it is gone',
      lines: [`agent service rm ${service}`, listServices, 'agent leave --force'],
      check: async ([, list = ''], stage) => {
        if (list.includes(service)) throw new Error(`${service} is still listed:\n${list}`)
        const left =
          'curl --silent --unix-socket /run/docker.sock http://engine/containers/json?all=1'
        await stage.shellUntil('end of all containers', left, (output) => output.trim() === '[]')
        return 'removed to the last container'
      },
    },
  ],
}
