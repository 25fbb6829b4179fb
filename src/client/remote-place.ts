import { executeTask, type RunTaskOptions } from "../executor/executor.ts";
import type { OpenPlace, Place } from "../executor/place.ts";
import { planTask } from "../executor/planner.ts";
import type { TaskScope } from "../executor/scope.ts";
import { makeFileJournal } from "../executor/sinks/file-journal.ts";
import { joinSinks } from "../executor/sinks/task-sink.ts";
import { makeTaskId } from "../model/ids.ts";
import type { TaskResult } from "../model/result.ts";
import type { TaskInput } from "../model/task.ts";
import { DAY_MS, MINUTE_MS } from "../model/units.ts";
import type { TaskStore } from "../store/task-store.ts";
import { captureStep, type RemoteStep } from "./capture.ts";
import { uniqueName } from "./names.ts";
import { makePaddockPlace } from "./ractor/paddock-place.ts";
import { type AgentRequest, RactorClient } from "./ractor/ractor-client.ts";
import type { RemoteOptions } from "./ractor/remote-options.ts";
import { TaskAgent } from "./ractor/task-agent.ts";
import { renderStage, type Stage } from "./stage.ts";
import { makeStagedPlace } from "./staged-place.ts";

const MAX_AGENT_SECONDS = 604_800;

export type RemoteRunOptions = Pick<RunTaskOptions, "signal" | "watcher">;

/**
 * Runs a task on a Ractor server, with the same input and the same result as a local run (docs/remote.md). Throws only
 * for bad input.
 */
export async function runRemotely(
  task: TaskInput,
  remote: RemoteOptions,
  store: TaskStore,
  { signal, watcher = {} }: RemoteRunOptions = {},
): Promise<TaskResult> {
  const planned = { taskId: makeTaskId(), task, plan: planTask(task) };
  await using client = new RactorClient(remote);
  const sink = joinSinks(makeFileJournal(store), watcher);
  return await executeTask(planned, { place: makeRemotePlace(client, remote), sink, signal });
}

/**
 * An agent of the task's own on a Ractor server. Where the server takes no explicit work, its setup code holds the
 * calls.
 */
function makeRemotePlace(client: RactorClient, remote: RemoteOptions): Place {
  // Until the agent is ready only the caller ends the task.
  return { facts: { remote: client.url }, openMs: DAY_MS, open: (task) => openAgent(task, client, remote) };
}

async function openAgent(task: TaskScope, client: RactorClient, remote: RemoteOptions): Promise<OpenPlace> {
  const { operator, setupTimeoutMs: setupMs = 15 * MINUTE_MS, overheadMs = 5 * MINUTE_MS } = remote;
  const { signal } = task;
  signal.throwIfAborted();
  if (operator !== undefined) await client.login(operator.name, operator.password, signal);
  const takesCalls = (await client.readItems(signal)).includes("tool_calls");
  const steps = takesCalls ? [] : await captureSteps(task);
  const stage = takesCalls ? undefined : await stageCalls(task, steps);
  const name = uniqueName(`task-${task.taskId.slice(4, 12)}-${task.nodeType}`);
  const agent = new TaskAgent(client, name, task);
  try {
    await agent.open(describeAgent(task, name, stage), stage && { hash: stage.hash, setupMs });
  } catch (error) {
    await agent.close();
    throw error;
  }
  return takesCalls ? makePaddockPlace(agent) : makeStagedPlace(agent, steps, overheadMs);
}

async function captureSteps(task: TaskScope): Promise<RemoteStep[]> {
  return await Promise.all(
    task.steps.map(async (planned) => {
      const step = await captureStep({ ...task, ...planned });
      // Nothing is begun that could only be half done.
      if (step.kind === "refused" && step.error.code === "unsupported") throw step.error;
      return step;
    }),
  );
}

async function stageCalls({ plan, task }: TaskScope, steps: readonly RemoteStep[]): Promise<Stage> {
  const calls = new Map(steps.flatMap((step, index) => (step.kind === "run" ? [[index + 1, step.spec] as const] : [])));
  return await renderStage({
    nodeType: plan.nodeType,
    bare: plan.bare,
    calls,
    env: task.env ?? {},
    files: task.files ?? {},
  });
}

function describeAgent(
  { taskId, task, plan, limits }: TaskScope,
  name: string,
  stage: Stage | undefined,
): AgentRequest {
  const seconds = Math.ceil(limits.taskTimeoutMs / 1000);
  return {
    name,
    metadata: {
      paddock: taskId,
      node_type: plan.nodeType,
      bare: plan.bare,
      network: task.network ?? plan.network,
      limits: task.limits ?? {},
    },
    tags: ["paddock", plan.nodeType],
    idle_timeout_seconds: Math.min(MAX_AGENT_SECONDS, seconds + 600),
    busy_timeout_seconds: Math.min(MAX_AGENT_SECONDS, seconds + 3600),
    ...(stage === undefined ? { env: task.env ?? {} } : { setup: stage.setup }),
    instructions: "You run the commands you are given, exactly as they are given, and nothing else.",
  };
}
