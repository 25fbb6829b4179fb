import { PaddockError } from "../../errors/error.ts";
import type { OpenPlace } from "../../executor/place.ts";
import type { CallScope, TaskScope } from "../../executor/scope.ts";
import type { CallEnd } from "../../executor/sinks/task-event.ts";
import { findTool } from "../../tools/registry.ts";
import { describeCall, type PlannedCall } from "../../tools/tool.ts";
import { sendTask } from "./post.ts";
import type { Segment } from "./reply-schemas.ts";
import { awaitResponse } from "./response-wait.ts";
import { readRecord, readValues } from "./server-record.ts";
import { type TaskAgent, tellOutput } from "./task-agent.ts";

/**
 * An agent on a server that takes explicit work (it announces `tool_calls` in `/version`): one response carries all
 * calls, each `tool_result` segment carries the server's own record. The wire is still measured here.
 */
export function makePaddockPlace(agent: TaskAgent): OpenPlace {
  let segments: readonly Segment[] | undefined;
  return {
    leaseMs: agent.leaseMs,
    run: async (call) => {
      segments ??= await runAll(call, agent);
      const segment = segments[call.index];
      if (segment === undefined) return undefined;
      const end = readEnd(call, agent, segment);
      await tellOutput(call, end.record);
      return end;
    },
    close: () => agent.close(),
  };
}

/** None when the task was ended meanwhile. */
async function runAll(scope: TaskScope, agent: TaskAgent): Promise<readonly Segment[]> {
  const stop = agent.client.observe((request) => agent.account.add(request));
  try {
    const files = Object.entries(scope.task.files ?? {}).map(
      ([path, content]): PlannedCall => ({ tool: "write_file", input: { path, content } }),
    );
    if (files.length > 0) await post(scope, agent, files, "files");
    const segments = await post(scope, agent, scope.plan.calls, "calls");
    if (segments.length > 0) return segments;
    throw new PaddockError("remote_failed", `the server ran no call on ${agent.name}`);
  } catch (error) {
    if (!scope.signal.aborted) throw error;
    return [];
  } finally {
    stop();
  }
}

async function post(
  { limits, taskId, signal }: TaskScope,
  { client, account, name }: TaskAgent,
  calls: readonly PlannedCall[],
  part: string,
): Promise<readonly Segment[]> {
  const content = [{ type: "tool_calls", key: `${taskId} ${part}`, content: calls.map(describeCall) }];
  const row = await sendTask(client, name, content, {
    signal,
    onBackOff: (delayMs) => account.backoffMs.push(delayMs),
  });
  account.responseIds.push(row.id);
  const ended = await awaitResponse(client, name, row.id, { stallMs: limits.taskTimeoutMs, signal });
  const results = ended.segments.filter(({ type }) => type === "tool_result");
  if (ended.status === "completed" || results.length > 0) return results;
  throw new PaddockError("remote_failed", `the server ended the task as ${ended.status}`);
}

function readEnd({ index, call, taskId, nodeType }: CallScope, agent: TaskAgent, segment: Segment): CallEnd {
  const made = readRecord(segment);
  if (made instanceof Error)
    throw new PaddockError("remote_failed", `tool result ${index + 1} carries no record`, { cause: made });
  const facts = { url: agent.client.url, agent: agent.name, source: "server", unknown: [], not_enforced: [] } as const;
  // The requests of the one response are the first call's.
  const remote = agent.accountOf(index).describe(facts);
  const record = { ...made, task_id: taskId, node_type: nodeType, remote };
  const title = call.title ?? findTool(record.operation)?.title ?? record.operation;
  return { record, value: { tool_call_id: record.tool_call_id, title, ...readValues(segment) } };
}
