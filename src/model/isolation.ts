/** How a limit is held: by a cgroup, or only by per-process rlimits (the single-tenant tier). */
export type LimitsMode = "cgroup2" | "cgroup1" | "rlimit";

/**
 * How the workspace's size is held: `image` (fixed-size ext4 image), `memory` (sized tmpfs, counts as memory),
 * `polled` (RLIMIT_FSIZE and a check every second; a burst may overshoot).
 */
export type WorkspaceMode = "image" | "memory" | "polled";

/** What stood between the guest and the host. Written into every record. */
export interface Isolation {
  readonly driver: string;
  readonly runtime: string;
  readonly version: string;
  readonly kernel: string;
  readonly seccomp: "filter" | "none";
  /** True when the sandbox ran under a host uid of its own. */
  readonly distinct_uid: boolean;
  readonly limits: { readonly mode: LimitsMode; readonly workspace: WorkspaceMode };
  /** Content hash of the template, absent for the bare node. */
  readonly template?: string;
  /** Immutable id of the image, under drivers whose nodes start from images. */
  readonly image?: string;
}
