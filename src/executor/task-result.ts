import { PaddockError } from "../errors/error.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { TaskResult, TaskStatus } from "../model/result.ts";
import type { TaskInput } from "../model/task.ts";
import { round, sumMetrics } from "./metrics.ts";
import type { TaskPlan } from "./planner.ts";
import type { TaskScope } from "./scope.ts";
import type { CallEnd } from "./sinks/task-event.ts";

/** All that a task's result is made of, wherever its calls ran. */
export interface ResultParts extends Pick<TaskScope, "taskId" | "plan" | "limits" | "deadline"> {
  readonly ends: readonly CallEnd[];
  readonly startTime: string;
  readonly durationMs: number;
  readonly error: PaddockError | undefined;
}

/** What the journal keeps of a task: names and sizes, no contents, headers or values, which may hold secrets. */
export function describeTask(task: TaskInput, plan: TaskPlan): object {
  return {
    node_type: plan.nodeType,
    source: plan.source,
    calls: plan.calls.map((call) => ({ tool: call.tool, title: call.title })),
    files: Object.keys(task.files ?? {}),
    env: Object.keys(task.env ?? {}),
    network: task.network ?? plan.network,
    limits: task.limits ?? {},
    description_bytes: Buffer.byteLength(task.description ?? ""),
  };
}

export function makeResult(parts: ResultParts): TaskResult {
  const { ends, plan, deadline, error } = parts;
  const records = ends.map(({ record }) => record);
  const last = records.at(-1);
  const allDone = records.length === plan.calls.length;
  const failed = records.some((record, index) => !record.success && !plan.calls[index]?.continueOnFailure);
  const cancelled = deadline.signal.aborted && !deadline.timedOut;
  const status: TaskStatus = cancelled ? "cancelled" : error || failed || !allDone ? "failed" : "completed";
  const shown = status === "completed" ? undefined : explain(parts, last);
  const exitCode = records.findLast((record) => record.return_code !== undefined)?.return_code;
  return {
    task_id: parts.taskId,
    status,
    node_type: plan.nodeType,
    start_time: parts.startTime,
    end_time: new Date().toISOString(),
    duration_ms: round(parts.durationMs),
    tool_calls: records,
    values: ends.map(({ value }) => value),
    metrics: sumMetrics(records),
    ...(exitCode === undefined ? {} : { exit_code: exitCode }),
    ...(shown === undefined ? {} : { error: shown }),
  };
}

function explain(
  { deadline, limits, error }: ResultParts,
  last: ToolCallRecord | undefined,
): NonNullable<TaskResult["error"]> {
  if (deadline.signal.aborted) {
    const { timedOut } = deadline;
    const message = timedOut ? `the task was ended after ${limits.taskTimeoutMs} ms` : "the task was cancelled";
    return new PaddockError(timedOut ? "timeout" : "cancelled", message).toJSON();
  }
  if (error) return error.toJSON();
  if (last?.error) return last.error;
  if (last?.success) {
    const why = last.sandbox_killed ? "was killed, as processes outlived" : "ended after";
    return new PaddockError("sandbox_lost", `the sandbox ${why} ${last.operation}; what follows did not run`).toJSON();
  }
  return {
    code: "nonzero",
    message: `${last?.operation ?? "the task"} ended with ${last?.signal ? `signal ${last.signal}` : `exit code ${last?.return_code ?? "unknown"}`}`,
    hint: "The call's stderr says why.",
    retryable: false,
  };
}
