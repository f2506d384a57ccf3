// The table of commands: which function runs which. Each checks everything first and then writes
// to the draft; one that throws has changed nothing that anybody will see.

import type { Draft } from '../store/draft.ts'
import { initCluster, recoverCluster, updateCluster } from './cluster.ts'
import type { Command, CommandAnswer, CommandType } from './command.ts'
import type { CommandContext } from './context.ts'
import {
  describeNode,
  joinNode,
  removeNode,
  retireManager,
  setNodeState,
  updateNode,
} from './node.ts'
import {
  createConfig,
  createSecret,
  removeConfig,
  removeSecret,
  updateConfig,
  updateSecret,
} from './objects.ts'
import { createService, removeService, updateService } from './service.ts'
import { reportTasks } from './task.ts'

type Runner<Type extends CommandType> = (
  draft: Draft,
  command: Extract<Command, { readonly type: Type }>,
  context: CommandContext,
) => CommandAnswer

const runners: { readonly [Type in CommandType]: Runner<Type> } = {
  'cluster.init': initCluster,
  'cluster.update': updateCluster,
  'cluster.recover': recoverCluster,
  'node.join': joinNode,
  'node.update': updateNode,
  'node.remove': removeNode,
  'node.retire': retireManager,
  'node.describe': describeNode,
  'node.state': setNodeState,
  'service.create': createService,
  'service.update': updateService,
  'service.remove': removeService,
  'secret.create': createSecret,
  'secret.update': updateSecret,
  'secret.remove': removeSecret,
  'config.create': createConfig,
  'config.update': updateConfig,
  'config.remove': removeConfig,
  'tasks.report': reportTasks,
}

/** Runs one command on the draft. Throws CodedError; the draft is then to be dropped. */
export function runCommand(draft: Draft, command: Command, context: CommandContext): CommandAnswer {
  const run = runners[command.type] as Runner<CommandType>
  return run(draft, command, context)
}
