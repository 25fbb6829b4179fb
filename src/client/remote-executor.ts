import { PaddockError } from "../errors/error.ts";
import { compileLimits } from "../executor/compile.ts";
import { planTask } from "../executor/planner.ts";
import { FileJournal } from "../executor/sinks/file-journal.ts";
import { joinSinks } from "../executor/sinks/task-sink.ts";
import { frameTask } from "../executor/task-frame.ts";
import { describeTask } from "../executor/task-result.ts";
import { Deadline } from "../lib/deadline.ts";
import { makeTaskId, makeToolCallId } from "../model/ids.ts";
import type { TaskResult } from "../model/result.ts";
import type { TaskInput } from "../model/task.ts";
import { DAY_MS, MINUTE_MS } from "../model/units.ts";
import type { TaskStore } from "../store/task-store.ts";
import { findTool } from "../tools/registry.ts";
import { captureStep, type RemoteStep, type StepInput } from "./capture.ts";
import { uniqueName } from "./names.ts";
import { WireAccount } from "./ractor/account.ts";
import { runOnPaddock } from "./ractor/paddock-server.ts";
import { type AgentRequest, RactorClient } from "./ractor/ractor-client.ts";
import { awaitReady, createAgent, removeAgent } from "./ractor/remote-agent.ts";
import { closeCall, type Place, type RemoteOptions, type RemoteRunOptions, type Run } from "./ractor/remote-run.ts";
import { runRemoteCall } from "./remote-call.ts";
import { renderStage, type Stage } from "./stage.ts";

const MAX_AGENT_SECONDS = 604_800;

/**
 * Runs a task on a Ractor server: planned here, staged there in an agent of its own that is deleted at the end. The same input and the same
 * result as a local run; records say what nobody could measure (docs/remote.md). Throws only for bad input.
 */
export async function runRemotely(
  task: TaskInput,
  remote: RemoteOptions,
  store: TaskStore,
  options: RemoteRunOptions = {},
): Promise<TaskResult> {
  const plan = planTask(task);
  const limits = compileLimits(task.limits);
  const taskId = makeTaskId();
  await using client = new RactorClient(remote);
  const sink = joinSinks(new FileJournal(store), options.watcher ?? {});
  await sink.begin(taskId, { ...describeTask(task, plan), remote: client.url });
  const run: Run = { taskId, task, plan, limits, client, remote, sink, records: [], values: [] };
  // The task's own time begins when the agent is ready; until then only the caller ends it.
  let deadline = Deadline.after(DAY_MS, options.signal);
  const startClock = (): Deadline => {
    deadline[Symbol.dispose]();
    deadline = Deadline.after(limits.taskTimeoutMs, options.signal);
    return deadline;
  };
  try {
    const frame = { ...run, deadline: () => deadline };
    return await frameTask(frame, () => runInAgent(run, deadline.signal, startClock));
  } finally {
    deadline[Symbol.dispose]();
  }
}

async function runInAgent(run: Run, signal: AbortSignal, startClock: () => Deadline): Promise<void> {
  const { client, plan, remote } = run;
  signal.throwIfAborted();
  if (remote.operator !== undefined) await client.login(remote.operator.name, remote.operator.password, signal);
  const takesCalls = (await client.readItems(signal)).includes("tool_calls");
  const steps = takesCalls ? [] : await captureSteps(run);
  const stage = takesCalls ? undefined : await stageCalls(run, steps);
  const name = uniqueName(`task-${run.taskId.slice(4, 12)}-${plan.nodeType}`);
  const account = new WireAccount();
  const stop = client.observe((request) => account.add(request));
  const begun = performance.now();
  let isMade = false;
  try {
    await run.sink.event({ type: "progress", message: `creating agent ${name}` });
    const request = describeAgent(run, name, stage);
    await createAgent(client, request, signal, () => {
      isMade = true;
    });
    if (stage !== undefined) {
      const onProgress = (message: string): void => void run.sink.event({ type: "progress", message });
      onProgress("waiting for the setup code");
      const setupMs = remote.setupTimeoutMs ?? 15 * MINUTE_MS;
      await awaitReady(client, { request, hash: stage.hash, setupMs, signal, onProgress });
    }
    stop();
    const leaseMs = performance.now() - begun;
    await run.sink.event({ type: "sandbox_ready", sandboxId: name, createMs: leaseMs });
    const place: Place = { agent: name, account, leaseMs, deadline: startClock() };
    if (takesCalls) await runOnPaddock(run, place);
    else await runSteps(run, place, steps);
  } finally {
    stop();
    if (isMade && !(await removeAgent(client, name)))
      await run.sink.event({
        type: "progress",
        message: `agent ${name} could not be deleted: delete it on the server`,
      });
  }
}

type PlannedStep = StepInput & { readonly step: RemoteStep };

async function captureSteps({ plan, limits }: Run): Promise<PlannedStep[]> {
  return await Promise.all(
    plan.calls.map(async (call) => {
      const tool = findTool(call.tool);
      if (tool === undefined) throw new PaddockError("invalid_request", `unknown tool ${call.tool}`);
      const input = { tool, call, callId: makeToolCallId(), nodeType: plan.nodeType, limits };
      const step = await captureStep(input);
      // Nothing is begun that could only be half done.
      if (step.kind === "refused" && step.error.code === "unsupported") throw step.error;
      return { ...input, step };
    }),
  );
}

async function stageCalls({ plan, task }: Run, steps: readonly PlannedStep[]): Promise<Stage> {
  const calls = new Map(
    steps.flatMap(({ step }, index) => (step.kind === "run" ? [[index + 1, step.spec] as const] : [])),
  );
  return await renderStage({
    nodeType: plan.nodeType,
    bare: plan.bare,
    calls,
    env: task.env ?? {},
    files: task.files ?? {},
  });
}

function describeAgent({ taskId, task, plan, limits }: Run, name: string, stage: Stage | undefined): AgentRequest {
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

async function runSteps(run: Run, place: Place, steps: readonly PlannedStep[]): Promise<void> {
  const { deadline, agent } = place;
  for (const [index, step] of steps.entries()) {
    if (deadline.signal.aborted) return;
    const { tool, call, callId } = step;
    await run.sink.event({
      type: "call_started",
      callId,
      tool: tool.name,
      title: call.title ?? tool.title,
      index,
      input: call.input,
    });
    const { record, value } = await runRemoteCall({
      ...step,
      client: run.client,
      agent,
      taskId: run.taskId,
      index: index + 1,
      account: index === 0 ? place.account : new WireAccount(),
      leaseMs: index === 0 ? place.leaseMs : 0,
      overheadMs: run.remote.overheadMs ?? 5 * MINUTE_MS,
      signal: deadline.signal,
    });
    await closeCall(run, record, value);
    if (!record.success && !call.continueOnFailure) return;
  }
}
