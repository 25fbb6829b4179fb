import { DAY_MS, GIB, MIB } from "./units.ts";

/**
 * Limits of one sandbox and of the calls in it. All are fields of the spec; docs/limits.md says how each is enforced.
 */
export interface Limits {
  readonly memoryBytes: number;
  /** Cores, may be a fraction. */
  readonly cpus: number;
  readonly pids: number;
  readonly workspaceBytes: number;
  readonly tmpBytes: number;
  readonly openFiles: number;
  /** Kept in the record per stream (head and tail). */
  readonly outputBytes: number;
  /** Spilled to a workspace file per stream. */
  readonly spillBytes: number;
  readonly callTimeoutMs: number;
  readonly taskTimeoutMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  memoryBytes: 512 * MIB,
  cpus: 1,
  pids: 128,
  workspaceBytes: 1024 * MIB,
  tmpBytes: 256 * MIB,
  openFiles: 1024,
  outputBytes: MIB,
  spillBytes: 64 * MIB,
  callTimeoutMs: 60_000,
  taskTimeoutMs: 300_000,
};

/** What admission counts per sandbox (requests, not limits). */
export interface Requests {
  readonly memoryBytes: number;
  readonly pids: number;
}

export const DEFAULT_REQUESTS: Requests = { memoryBytes: 32 * MIB, pids: 16 };

/** How long and up to which sum of bytes ended workspaces are kept. */
export interface Retention {
  readonly ageMs: number;
  readonly bytes: number;
}

export const DEFAULT_RETENTION: Retention = { ageMs: 7 * DAY_MS, bytes: 5 * GIB };
