import { LeasedCall } from "../executor/leased-call.ts";
import type { TaskPlan } from "../executor/planner.ts";
import { makeStep, openCall, openTask } from "../executor/scope.ts";
import { joinSinks } from "../executor/sinks/task-sink.ts";
import { runToolCall } from "../executor/tool-call.ts";
import type { Lease } from "../fleet/fleet.ts";
import { Deadline } from "../lib/deadline.ts";
import { makeTaskId } from "../model/ids.ts";

const REMAINING_MS = 60_000;

/**
 * Milliseconds of one recorded tool call, from the plan to its closed record (workspace diff included). Throws when it
 * fails.
 */
export async function timeCall(
  lease: Lease,
  tool: string,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<number> {
  const call = { tool, input };
  const plan: TaskPlan = { nodeType: lease.nodeType, calls: [call], network: [], bare: true, source: "tool_calls" };
  const begun = performance.now();
  using deadline = Deadline.after(REMAINING_MS, signal);
  const step = makeStep(call, 0);
  const task = openTask({ taskId: makeTaskId(), task: {}, plan, steps: [step], deadline, sink: joinSinks() });
  const scope = openCall(task, step, 0);
  const { record } = await runToolCall(scope, new LeasedCall(scope, lease));
  const elapsedMs = performance.now() - begun;
  if (record.success) return elapsedMs;
  throw new Error(`${tool} ended ${record.verdict}: ${record.error?.message ?? record.stderr.text.slice(-500)}`);
}
