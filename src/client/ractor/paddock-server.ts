import { PaddockError } from "../../errors/error.ts";
import { findTool } from "../../tools/registry.ts";
import type { PlannedCall } from "../../tools/tool.ts";
import { WireAccount } from "./account.ts";
import { sendTask } from "./posting.ts";
import { closeCall, type Place, type Run } from "./remote-run.ts";
import type { Segment } from "./reply-schemas.ts";
import { readRecord, readValues } from "./server-record.ts";
import { awaitResponse } from "./waiting.ts";

/**
 * Runs the plan on a server that takes explicit work (it announces `tool_calls` in `/version`): one response carries all calls, each
 * `tool_result` segment carries the server's own record. The wire is still measured here.
 */
export async function runOnPaddock(run: Run, place: Place): Promise<void> {
  const { agent, deadline } = place;
  const stop = run.client.observe((request) => place.account.add(request));
  try {
    const files = Object.entries(run.task.files ?? {}).map(
      ([path, content]): PlannedCall => ({ tool: "write_file", input: { path, content } }),
    );
    if (files.length > 0) await post(run, place, files, "files");
    const segments = await post(run, place, run.plan.calls, "calls");
    for (const [index, segment] of segments.entries()) await take(run, place, segment, index);
  } catch (error) {
    if (!deadline.signal.aborted) throw error;
  } finally {
    stop();
  }
  if (run.records.length === 0 && !deadline.signal.aborted)
    throw new PaddockError("remote_failed", `the server ran no call on ${agent}`);
}

async function post(run: Run, place: Place, calls: readonly PlannedCall[], part: string): Promise<readonly Segment[]> {
  const { client, limits, taskId } = run;
  const { signal } = place.deadline;
  const content = [{ type: "tool_calls", key: `${taskId} ${part}`, content: calls.map(describeCall) }];
  const row = await sendTask(client, place.agent, content, {
    signal,
    onBackOff: (delayMs) => place.account.backoffMs.push(delayMs),
  });
  place.account.responseIds.push(row.id);
  const ended = await awaitResponse(client, place.agent, row.id, { stallMs: limits.taskTimeoutMs, signal });
  const results = ended.segments.filter(({ type }) => type === "tool_result");
  if (ended.status === "completed" || results.length > 0) return results;
  throw new PaddockError("remote_failed", `the server ended the task as ${ended.status}`);
}

function describeCall(call: PlannedCall) {
  const { tool, input, title, timeoutMs, attempts, continueOnFailure } = call;
  return {
    tool,
    input,
    ...(title === undefined ? {} : { title }),
    ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(continueOnFailure === undefined ? {} : { continue_on_failure: continueOnFailure }),
  };
}

async function take(run: Run, place: Place, segment: Segment, index: number): Promise<void> {
  const made = readRecord(segment);
  if (made instanceof Error)
    throw new PaddockError("remote_failed", `tool result ${index + 1} carries no record`, { cause: made });
  // The requests of the one response are the first call's.
  const account = index === 0 ? place.account : new WireAccount();
  const facts = { url: run.client.url, agent: place.agent, source: "server", unknown: [], not_enforced: [] } as const;
  const record = { ...made, task_id: run.taskId, node_type: run.plan.nodeType, remote: account.describe(facts) };
  const planned = run.plan.calls[index];
  const title = planned?.title ?? findTool(record.operation)?.title ?? record.operation;
  await closeCall(run, record, { tool_call_id: record.tool_call_id, title, ...readValues(segment) });
}
