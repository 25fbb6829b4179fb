import { type PaddockError, toPaddockError } from "../errors/error.ts";
import type { Deadline } from "../lib/deadline.ts";
import type { TaskId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { CallValue, TaskResult } from "../model/result.ts";
import type { TaskPlan } from "./planner.ts";
import type { TaskSink } from "./sinks/task-sink.ts";
import { makeResult } from "./task-result.ts";

/** What every task has, wherever its calls run. */
export interface TaskFrame {
  readonly taskId: TaskId;
  readonly plan: TaskPlan;
  readonly limits: Limits;
  /** Has taken the intent already. */
  readonly sink: Required<TaskSink>;
  /** Filled while the calls run. */
  readonly records: readonly ToolCallRecord[];
  readonly values: readonly CallValue[];
  /** The deadline that ended the task, if one did; asked at its end. */
  readonly deadline: () => Deadline;
}

/**
 * Announces the task, runs `work`, and gives the task its one result, whatever `work` throws. Rejects only when the sink cannot take
 * the result.
 */
export async function frameTask(frame: TaskFrame, work: () => Promise<void>): Promise<TaskResult> {
  const { taskId, plan, sink } = frame;
  const startTime = new Date().toISOString();
  const begun = performance.now();
  let error: PaddockError | undefined;
  try {
    const { nodeType, calls, source } = plan;
    await sink.event({ type: "task_started", taskId, nodeType, calls: calls.length, source });
    await work();
  } catch (thrown) {
    error = toPaddockError(thrown);
  }
  const durationMs = performance.now() - begun;
  const result = makeResult({ ...frame, deadline: frame.deadline(), startTime, durationMs, error });
  await sink.end(result);
  return result;
}
