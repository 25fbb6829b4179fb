import type { AgentId, TaskId } from "./ids.ts";
import type { RecordedError } from "./record.ts";

/** `pending` and `processing` end exactly once, as `completed`, `failed` or `cancelled`. */
export const RESPONSE_STATUSES = ["pending", "processing", "completed", "failed", "cancelled"] as const;
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];
export type TerminalStatus = Extract<ResponseStatus, "completed" | "failed" | "cancelled">;

export const isTerminalStatus = (status: ResponseStatus): status is TerminalStatus =>
  status !== "pending" && status !== "processing";

/** One entry of a response's history, as clients see it: `tool_call`, `tool_result`, `commentary`, `note`, markers. */
export interface Segment {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** An item of `output_content`. */
export interface OutputItem {
  readonly type: string;
  readonly title?: string;
  readonly content?: unknown;
}

/** A response (a task posted to an agent) as it is stored, without its segments. Times are milliseconds since 1970. */
export interface ResponseRow {
  /** UUID v4, as clients know it. */
  readonly id: string;
  /** The same task in records. */
  readonly taskId: TaskId;
  readonly agentId: AgentId;
  readonly agentName: string;
  /** Order of creation over the whole database. */
  readonly seq: number;
  readonly status: ResponseStatus;
  readonly createdBy: string;
  /** What was posted, verbatim. */
  readonly input: unknown;
  /** How the work is to be done; of our making, from the posted body. */
  readonly options: ResponseOptions;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  /** How many times it was claimed; the number of the present claim is its fence. */
  readonly attempts: number;
  readonly error: RecordedError | null;
  /** Null until something was put out: then it is read from the segments. */
  readonly outputContent: readonly OutputItem[] | null;
  /** One more with each write, segments included. */
  readonly version: number;
}

export interface ResponseOptions {
  /** Run again after the server died in the middle. Default: it ends as `failed` with `task_lost`. */
  readonly idempotent: boolean;
  /** Over the agent's `limits.task_timeout_ms`. */
  readonly timeoutMs?: number;
  /** W3C trace context of the request that posted it. */
  readonly traceparent?: string;
}
