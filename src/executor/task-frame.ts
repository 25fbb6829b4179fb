import { type PaddockError, toPaddockError } from "../errors/error.ts";
import type { Deadline } from "../lib/deadline.ts";
import type { TaskId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { CallValue, TaskResult } from "../model/result.ts";
import type { Journal } from "../store/task-store.ts";
import type { TaskPlan } from "./planner.ts";
import type { TaskEvent } from "./task-event.ts";
import { makeResult } from "./task-result.ts";

/** What every task has, wherever its calls run. */
export interface TaskFrame {
  readonly taskId: TaskId;
  readonly plan: TaskPlan;
  readonly limits: Limits;
  /** Holds the intent already. */
  readonly journal: Journal;
  /** Filled while the calls run. */
  readonly records: readonly ToolCallRecord[];
  readonly values: readonly CallValue[];
  readonly onEvent: ((event: TaskEvent) => void | Promise<void>) | undefined;
  /** The deadline that ended the task, if one did; asked at its end. */
  readonly deadline: () => Deadline;
}

/**
 * Announces the task, runs `work`, and gives the task its one result and its journal its terminal line, whatever `work` throws. Rejects
 * only when the journal cannot keep that line.
 */
export async function frameTask(frame: TaskFrame, work: () => Promise<void>): Promise<TaskResult> {
  const { taskId, plan, journal } = frame;
  const startTime = new Date().toISOString();
  const begun = performance.now();
  let error: PaddockError | undefined;
  try {
    const { nodeType, calls, source } = plan;
    await frame.onEvent?.({ type: "task_started", taskId, nodeType, calls: calls.length, source });
    await work();
  } catch (thrown) {
    error = toPaddockError(thrown);
  }
  const durationMs = performance.now() - begun;
  const result = makeResult({ ...frame, deadline: frame.deadline(), startTime, durationMs, error });
  const { tool_calls: _calls, values: _values, ...end } = result;
  try {
    await journal.append({ line: "end", result: end });
  } finally {
    journal.close();
  }
  return result;
}
