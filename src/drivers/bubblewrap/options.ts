import type { Home } from "../../config/home.ts";
import type { CgroupTexts } from "../host/cgroup-layout.ts";
import type { NodeTools } from "../host/tools.ts";
import type { SeccompArch } from "../seccomp/syscalls.ts";

/** The first four are the operator's; the others have defaults that only tests and unusual hosts change. */
export interface BubblewrapOptions {
  readonly home: Home;
  /**
   * `rlimit` gives up memory, pids and cpu limits by cgroup. Root must ask for it; a user without a delegated cgroup
   * gets it unasked.
   */
  readonly limits?: "auto" | "rlimit";
  /** The operator's CA bundle, shown at /etc/paddock/ca.pem. */
  readonly caBundle?: string | undefined;
  /** How long and up to which sum of bytes ended workspaces are kept. */
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
  readonly supervisor?: string;
  /** Null leaves Node and npm out. */
  readonly nodeTools?: NodeTools | null;
  readonly bubblewrap?: string;
  readonly python?: string;
  /** What runs as pid 1 in place of the supervisor. */
  readonly command?: readonly string[];
  readonly compileSeccomp?: (arch: SeccompArch) => Buffer;
  /** In place of /proc/self/mountinfo and /proc/self/cgroup. */
  readonly cgroupTexts?: CgroupTexts;
  /** How long a removal is tried before it has failed. Default: 10 s. */
  readonly removalMs?: number;
}

export const DEFAULT_BUBBLEWRAP = "/usr/bin/bwrap";
