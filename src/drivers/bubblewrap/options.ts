import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Home } from "../../config/home.ts";
import type { CgroupTexts } from "../host/cgroup-layout.ts";
import type { SeccompArch } from "../seccomp/syscalls.ts";

/** A Node binary and the folder of an npm package, shown to sandboxes at /opt/paddock/node. */
export interface NodeTools {
  readonly binary: string;
  readonly npm: string;
}

/** The first four are the operator's; the others have defaults that only tests and unusual hosts change. */
export interface BubblewrapOptions {
  readonly home: Home;
  /** `rlimit` gives up memory, pids and cpu limits by cgroup. Root must ask for it; a user without a delegated cgroup gets it unasked. */
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
}

export const DEFAULT_BUBBLEWRAP = "/usr/bin/bwrap";
export const DEFAULT_PYTHON = "/usr/bin/python3";
export const DEFAULT_RETENTION_MS = 7 * 24 * 60 * 60 * 1000;
export const DEFAULT_RETENTION_BYTES = 5 * 1024 ** 3;
export const LAUNCHER_SOURCE = fileURLToPath(new URL("../host/launcher", import.meta.url));
export const SUPERVISOR_SOURCE = fileURLToPath(new URL("../../../images/supervisor", import.meta.url));

/** The Node that runs us, and the npm that came with Paddock. */
export function findNodeTools(): NodeTools {
  return { binary: process.execPath, npm: dirname(fileURLToPath(import.meta.resolve("npm/package.json"))) };
}
