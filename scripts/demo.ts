// The main story, told on this machine by the real thing: `make demo`, as root. `make demo CLUSTER=1`
// tells that of a cluster on five machines.
//
// It brings what is missing, builds the agent, opens a stage (scripts/demo/stage.ts), and types the
// lines of the story (scripts/demo/*story.ts) one after the other, checking each step. It fails
// loudly at the first step that is not as told. The stage is cleared in any case, on Ctrl-C too.

import { styleText } from 'node:util'
import { clusterStory } from './demo/cluster-story.ts'
import { openStage, type Stage } from './demo/stage.ts'
import type { Line, Step } from './demo/step.ts'
import { story as mainStory } from './demo/story.ts'
import { freshAgent } from './fresh-agent.ts'
import { installMissing } from './packages.ts'

const started = performance.now()

async function demo(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error('the demo needs root: it starts an engine in namespaces. Try: sudo make demo')
  }
  await installMissing((line) => console.log(`demo: ${line}`))
  const agentPath = await freshAgent()
  const opened = performance.now()
  const story = process.env['CLUSTER'] === '1' ? clusterStory : mainStory
  const stage = await openStage(agentPath, story.machines)
  try {
    const places = stage.hosts.map(({ name, address }) => `${name} ${address}`).join(', ')
    console.log(`In namespaces of their own, each with an engine: ${places} (${seconds(opened)}).`)
    console.log(`While this runs, the page is at http://${stage.host().address}:8080/ for`)
    console.log(`  sudo nsenter --net=/run/netns/${stage.host().namespace} curl URL`)
    const proofs: string[] = []
    for (const [index, step] of story.steps.entries()) {
      if (step.isPossible?.() === false) continue
      proofs.push(await perform(stage, step, index + 1))
    }
    const proved = proofs.filter((proof) => proof !== '').join(', ')
    console.log(`\n${bold('Proved')} in ${seconds(opened)}: ${proved}.`)
  } finally {
    stage.close()
  }
}

/** Types the lines of a step; throws when a line fails or the check is not met. */
async function perform(stage: Stage, step: Step, number: number): Promise<string> {
  const title = `${number}. ${step.title}`
  console.log(`\n${bold(title)}  ${styleText('dim', `at ${seconds(started)}`)}`)
  if (step.told !== undefined) console.log(step.told)
  try {
    const endBeside = await step.beside?.(stage)
    const outputs: string[] = []
    for (const line of step.lines) outputs.push(await type(stage, line))
    if (endBeside !== undefined) console.log(await endBeside())
    return (await step.check?.(outputs, stage)) ?? ''
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`step ${title}: ${why}`, { cause: error })
  }
}

async function type(stage: Stage, line: Line): Promise<string> {
  const { on, text } = typeof line === 'string' ? { on: 1, text: line } : line
  const typed = typeof text === 'string' ? text : text(stage)
  const place = stage.hosts.length > 1 ? `[${stage.host(on).name}]` : ''
  console.log(bold(`${place}$ ${typed}`))
  const ended = await stage.shell(typed, on)
  const output = withoutProgress(ended.stdout).trimEnd()
  if (output !== '') console.log(output)
  if (ended.code === 0) return ended.stdout
  const how = ended.timedOut ? 'took too long' : `ended with ${ended.code ?? ended.signal}`
  throw new Error(`"${typed}" ${how}`)
}

/** Progress is a picture that moves; on paper only its last state is worth reading. */
function withoutProgress(output: string): string {
  const moving = /^(overall progress: |\d+\/\d+: |verify: Waiting )/
  return output
    .split('\n')
    .filter((line) => !moving.test(line))
    .join('\n')
}

function bold(text: string): string {
  return styleText('bold', text)
}

function seconds(fromMs: number): string {
  return `${((performance.now() - fromMs) / 1000).toFixed(1)} s`
}

demo().catch((error: unknown) => {
  console.error(
    `\n${styleText(['bold', 'red'], 'demo FAILED')}: ${error instanceof Error ? error.message : String(error)}`,
  )
  process.exitCode = 1
})
