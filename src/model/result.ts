import type { TaskId } from "./ids.ts";
import type { NodeType } from "./node-type.ts";
import type { RecordedError, ToolCallRecord } from "./record.ts";

export type TaskStatus = "completed" | "failed" | "cancelled";

/** The four metrics of a task: sums over its records and nothing else. */
export interface TaskMetrics {
  readonly tool_calls: number;
  readonly tool_calls_by_category: Readonly<Record<string, number>>;
  readonly latency_ms: { readonly total: number; readonly network: number; readonly compute: number };
  readonly success: {
    readonly succeeded: number;
    readonly failed: number;
    readonly rate: number;
    readonly attempts: number;
    readonly retries: number;
  };
  readonly transit_bytes: {
    readonly request: number;
    readonly response: number;
    readonly egress_tx: number;
    readonly egress_rx: number;
  };
}

/** A rich output of a code run, base64. */
export interface RichValue {
  readonly mime: string;
  readonly base64: string;
}

/** A tool's own result beside its record: content, entries, the value of the last expression. */
export interface CallValue {
  readonly tool_call_id: string;
  readonly title: string;
  readonly value?: unknown;
  readonly rich?: readonly RichValue[];
  readonly guest_error?: unknown;
}

/** One stored artifact. `url` tells where it lies; it grants nothing. */
export interface ArtifactRecord {
  readonly kind: "file" | "output" | "result" | "report";
  readonly key: string;
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  /** In the workspace; for files and outputs. */
  readonly path?: string;
  /** The call whose output it is. */
  readonly tool_call_id?: string;
}

/** What of a task was stored, and what could not be. */
export interface TaskArtifacts {
  readonly store: "filesystem" | "s3";
  readonly prefix: string;
  readonly stored: readonly ArtifactRecord[];
  readonly failed: readonly (Omit<ArtifactRecord, "url" | "bytes" | "sha256"> & { readonly error: RecordedError })[];
  /** Changed paths that are no regular files, and changes beyond the records' lists. */
  readonly left_out: readonly string[];
}

/** What a task ends with, exactly once. */
export interface TaskResult {
  readonly task_id: TaskId;
  readonly status: TaskStatus;
  readonly node_type: NodeType;
  readonly start_time: string;
  readonly end_time: string;
  readonly duration_ms: number;
  readonly tool_calls: readonly ToolCallRecord[];
  readonly values: readonly CallValue[];
  readonly metrics: TaskMetrics;
  /** Exit code of the last call that had one. */
  readonly exit_code?: number;
  readonly error?: RecordedError;
  /** Present when artifacts were asked for. */
  readonly artifacts?: TaskArtifacts;
}
