import type { SandboxId, TaskId, ToolCallId } from "./ids.ts";
import type { Isolation } from "./isolation.ts";
import type { NodeType } from "./node-type.ts";
import type { RemoteIsolation, RemoteRecord } from "./remote.ts";
import type { Verdict } from "./verdict.ts";

export const CATEGORIES = ["file", "subprocess", "package", "network"] as const;
export type Category = (typeof CATEGORIES)[number];

/** An error as it stands in records and JSON output. */
export interface RecordedError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly retryable: boolean;
}

export interface AttemptRecord {
  readonly start_time: string;
  readonly duration_ms: number;
  readonly verdict: Verdict;
  readonly error?: RecordedError;
}

/** Milliseconds per phase, in the order they happen; their sum is `execution_time_ms`. */
export interface Phases {
  queue: number;
  lease: number;
  prepare: number;
  transfer_in: number;
  run: number;
  transfer_out: number;
}

export interface OutputRecord {
  /** Head and tail of the stream as text (invalid UTF-8 replaced), at most `limits.outputBytes`. */
  readonly text: string;
  readonly total_bytes: number;
  /** Bytes that are neither in `text` nor in the spill file. */
  readonly dropped_bytes: number;
  /** Where the stream was spilled, relative to the workspace. */
  readonly spill?: { readonly path: string; readonly bytes: number; readonly sha256: string };
}

export const NO_OUTPUT: OutputRecord = { text: "", total_bytes: 0, dropped_bytes: 0 };

export interface EgressRecord {
  readonly host: string;
  readonly port: number;
  readonly verdict: "allowed" | "denied" | "failed";
  /** Why it was denied or failed; names the policy. */
  readonly reason?: string;
  readonly connections: number;
  readonly tx_bytes: number;
  readonly rx_bytes: number;
  readonly wait_ms: number;
}

/** One changed path. Package trees (`node_modules`, virtual environments, ...) are one entry of type `tree`. */
export interface FileChange {
  readonly path: string;
  readonly type: "file" | "dir" | "symlink" | "tree" | "other";
  readonly size: number;
  readonly sha256?: string;
  /** Number of files inside, for `tree`. */
  readonly files?: number;
}

export interface InstalledDependency {
  readonly manager: "pip" | "npm";
  readonly name: string;
  readonly version: string;
}

/** One tool call, success or failure alike. Field names are public API (docs/records.md). */
export interface ToolCallRecord {
  readonly tool_call_id: ToolCallId;
  readonly task_id: TaskId;
  readonly sandbox_id: SandboxId | null;
  readonly node_type: NodeType;
  readonly operation: string;
  readonly category: Category;
  readonly command: readonly string[];
  readonly start_time: string;
  readonly end_time: string;
  readonly execution_time_ms: number;
  readonly phases_ms: Readonly<Phases>;
  readonly network_ms: number;
  readonly compute_ms: number;
  readonly success: boolean;
  readonly verdict: Verdict;
  /** Absent when unknown, never 0 in its place. */
  readonly return_code?: number;
  readonly signal?: string;
  readonly retry_count: number;
  readonly attempts: readonly AttemptRecord[];
  readonly stdout: OutputRecord;
  readonly stderr: OutputRecord;
  readonly cpu_user_ms?: number;
  readonly cpu_system_ms?: number;
  readonly max_rss_bytes?: number;
  /** `cgroup` is host evidence; `wait4` is reported from inside and carries the parent's size as its floor. */
  readonly source?: "cgroup" | "wait4";
  readonly request_bytes: number;
  readonly response_bytes: number;
  readonly egress: readonly EgressRecord[];
  readonly files_created: readonly FileChange[];
  readonly files_modified: readonly FileChange[];
  readonly files_deleted: readonly FileChange[];
  /** Changes beyond the listing limit. */
  readonly files_more: number;
  /**
   * The workspace could not be examined after the call (its sandbox is gone): the lists are empty because nothing is
   * known.
   */
  readonly files_unknown?: true;
  readonly dependencies_installed: readonly InstalledDependency[];
  /** `shared` when other processes could have influenced the figures or the output. */
  readonly attribution: "exclusive" | "shared";
  /** True when the call could only be ended by killing its whole sandbox. */
  readonly sandbox_killed: boolean;
  readonly isolation: Isolation | RemoteIsolation | null;
  /** Present when the call ran on a remote server (docs/remote.md). */
  readonly remote?: RemoteRecord;
  /** Set when warm code was forked from a template's interpreter (shared address layout and hash seed). */
  readonly memory_shared?: "template";
  readonly error?: RecordedError;
}
