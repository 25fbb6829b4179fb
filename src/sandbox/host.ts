import type { Duplex } from "node:stream";
import type { Isolation } from "../model/isolation.ts";

/** Counters of the whole sandbox as the host sees them. Fields are absent where the limits mode cannot tell. */
export interface UsageSample {
  /** Exact; user and system below may be counted in clock ticks (cgroup v1) and then only tell the ratio. */
  readonly cpuTotalUs?: number;
  readonly cpuUserUs?: number;
  readonly cpuSystemUs?: number;
  readonly memoryPeakBytes?: number;
  readonly memoryBytes?: number;
  /** Processes killed by the kernel for memory since the sandbox began. */
  readonly oomKills?: number;
  /** Times a fork was refused by the pids limit since the sandbox began. */
  readonly pidsRefused?: number;
}

export type SandboxEnd =
  /** The supervisor or the sandbox ended by itself; `detail` is for people. */
  { readonly kind: "exited"; readonly detail: string } | { readonly kind: "killed"; readonly detail: string };

/** What the host holds of a living sandbox: evidence and the power to end it. Drivers provide it. */
export interface SandboxHost {
  readonly isolation: Isolation;
  /** Host evidence, read synchronously (tens of microseconds). Throws nothing: missing counters are absent. */
  usage(): UsageSample;
  /** Sets the memory peak back to the present use, where the kernel can. Returns false where it cannot. */
  resetPeak(): boolean;
  /**
   * Whether the machine holds the supervisor up at this moment: then it is slow, not silent. Absent where the host
   * cannot see it.
   */
  isHeldUp?(): boolean;
  /** Resolves once nothing of the sandbox lives any more (cgroup empty, or its pid namespace gone). Never rejects. */
  readonly ended: Promise<SandboxEnd>;
  /**
   * The supervisor's standard input and output, where the sandbox cannot dial a socket (docs/protocol.md, over one
   * stream).
   */
  readonly stdio?: Duplex;
  /** Stops everything in the sandbox where it is, until `resume`. Present where the driver declares `pause`. */
  pause?(): Promise<void>;
  resume?(): Promise<void>;
  /** Kills everything in the sandbox; resolves with `ended`. Idempotent. */
  kill(detail: string): Promise<void>;
  /**
   * Kills, then removes everything the driver made but the workspace when `keepWorkspace`. Idempotent; after a failure
   * it may be tried again.
   */
  destroy(options?: { readonly keepWorkspace?: boolean }): Promise<void>;
}
