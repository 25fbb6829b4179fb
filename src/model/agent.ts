import type { AgentId, VolumeId } from "./ids.ts";
import type { NodeType } from "./node-type.ts";
import type { RecordedError } from "./record.ts";
import type { LimitsInput } from "./task.ts";

/** An agent whose context is at least this long takes no more work until it is cleared. */
export const SOFT_LIMIT_TOKENS = 128_000;

/**
 * `init`: its sandbox is being made or its setup code runs. `idle`: ready. `busy`: a task was taken and has not ended.
 * `slept`: it has no sandbox, only its workspace.
 */
export const AGENT_STATES = ["init", "idle", "busy", "slept"] as const;
export type AgentState = (typeof AGENT_STATES)[number];

/** What an agent's sandbox is made from. Environment, setup and instructions are never given out again. */
export interface AgentSettings {
  readonly nodeType: NodeType;
  /** Egress policy of every task. Undefined: each task gets what its plan asks for, else none. */
  readonly network: string | readonly string[] | undefined;
  /** Undefined: each task gets what its plan asks for, else the node type's template. */
  readonly bare: boolean | undefined;
  readonly limits: LimitsInput;
  readonly env: Readonly<Record<string, string>>;
  /** Bash. */
  readonly setup: string | undefined;
  readonly instructions: string | undefined;
}

/** How the setup code ended the last time. */
export interface SetupReport {
  readonly status: "ok" | "failed" | "timeout";
  /** Absent when unknown. */
  readonly exit_code?: number;
  readonly signal?: string;
  /** RFC 3339 with milliseconds. */
  readonly started_at: string;
  readonly duration_ms: number;
  /** Head and tail of what it printed, at most 16 KiB each. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface PublishPermissions {
  readonly code: boolean;
  readonly env: boolean;
  readonly content: boolean;
}

export interface Publication {
  readonly at: number;
  readonly by: string;
}

/** What a remix was to take over from its parent and has not. */
export interface MissingCopy {
  readonly parentId: AgentId;
  readonly code: boolean;
  readonly env: boolean;
  /** Its maker had it from the parent's publication, which has to stand when it is copied. */
  readonly needsPublication: boolean;
  /** Why it never will have it. Absent as long as the copy is still to be made. */
  readonly failure?: RecordedError;
}

/** An agent without what only its sandbox needs: that may be megabytes. */
export type AgentSummary = Omit<AgentRow, "settings" | "setupReport">;

/** An agent as it is stored. Times are milliseconds since 1970. */
export interface AgentRow {
  readonly id: AgentId;
  /** Unique without regard to case. */
  readonly name: string;
  readonly createdBy: string;
  readonly state: AgentState;
  readonly description: string | null;
  readonly parentName: string | null;
  readonly metadata: unknown;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly lastActivityAt: number | null;
  readonly idleTimeoutSeconds: number;
  readonly busyTimeoutSeconds: number;
  readonly idleFrom: number | null;
  readonly busyFrom: number | null;
  readonly contextCutoffAt: number | null;
  readonly lastContextLength: number;
  /** Since when it is awake; null while it sleeps. */
  readonly wokeAt: number | null;
  /** Milliseconds awake before it last went to sleep. */
  readonly runtimeMs: number;
  readonly published: Publication | null;
  /** Another one after each publish and unpublish. */
  readonly publicationRevision: string | null;
  readonly publishPermissions: PublishPermissions;
  readonly settings: AgentSettings;
  readonly setupReport: SetupReport | null;
  /** Null once its workspace is what it was to be. */
  readonly missingCopy: MissingCopy | null;
  /** Its workspace on `nodeId`'s machine. Written before the volume is made. */
  readonly volumeId: VolumeId;
  /** The data folder that runs it. */
  readonly nodeId: string;
  /** One more with each write. */
  readonly version: number;
}
