import { isAbsolute, normalize } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { NODE_DIR, SOCKET_DIR, SUPERVISOR_DIR, WORKSPACE } from "../../model/guest-paths.ts";
import type { Limits } from "../../model/limits.ts";
import { KIB, MIB } from "../../model/units.ts";
import type { Mount } from "../driver.ts";

// What a sandbox looks like from inside, whichever driver makes it.

export const SHARED_MEMORY_BYTES = 64 * MIB;

/** Names in /proc that tell about the host or steer it. */
export const MASKED_FILES = [
  "cmdline",
  "config.gz",
  "interrupts",
  "kallsyms",
  "kcore",
  "key-users",
  "keys",
  "kmsg",
  "latency_stats",
  "sched_debug",
  "sysrq-trigger",
  "timer_list",
  "timer_stats",
];
export const MASKED_FOLDERS = ["acpi", "asound", "scsi"];

/** Folders that a workspace or another mount may neither cover nor lie in. */
const RESERVED = [
  ...["/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr"],
  SUPERVISOR_DIR,
  NODE_DIR,
];

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/**
 * Nothing may be mounted over the base, nor below anything a guest can write to (CVE-2026-87766). Throws
 * `create_failed`.
 */
export function assertTargets(mounts: readonly Mount[], workspacePath: string): void {
  const targets = [...mounts.map(({ target }) => target), workspacePath];
  for (const target of targets) {
    const isProper = isAbsolute(target) && normalize(target) === target && target !== "/" && !target.endsWith("/");
    const isReserved = RESERVED.some((folder) => isWithin(target, folder) || isWithin(folder, target));
    if (!isProper || isReserved || target === "/tmp") {
      throw new PaddockError("create_failed", `nothing can be mounted at ${target} in a sandbox`, {
        hint: `Use a folder of its own, such as ${WORKSPACE}.`,
      });
    }
  }
  const writable = [...mounts.filter((mount) => mount.writable).map(({ target }) => target), workspacePath];
  for (const folder of writable) {
    if (targets.filter((target) => isWithin(target, folder)).length > 1) {
      throw new PaddockError("create_failed", `another mount would lie in ${folder}, which the sandbox can write to`);
    }
  }
}

/** A short form of the id: sandboxes are told apart by it, nothing relies on it. */
export const makeHostname = (id: string): string => `sbx-${id.slice(-8)}`;

export function makeEnvironment(workspacePath: string): Readonly<Record<string, string>> {
  return { PATH: `${NODE_DIR}/bin:/usr/bin:/bin:/usr/sbin:/sbin`, HOME: workspacePath, LANG: "C.UTF-8" };
}

/** What the supervisor reads on its descriptor 0 where it dials a socket. */
export function makeStartLine(key: string): string {
  return `${JSON.stringify({ key, socket: `${SOCKET_DIR}/host.sock` })}\n`;
}

/** Resource limits of each process, soft and hard, by the kernel's names. */
export function makeProcessLimits(limits: Limits): Readonly<Record<string, number>> {
  return {
    CORE: 0,
    FSIZE: Math.max(limits.workspaceBytes, limits.tmpBytes),
    NOFILE: limits.openFiles,
    STACK: 8 * MIB,
    MEMLOCK: 64 * KIB,
    MSGQUEUE: 0,
    SIGPENDING: 256,
    RTPRIO: 0,
    NICE: 0,
  };
}

/** A synthetic file: its path inside and its content. */
export interface DataFile {
  readonly path: string;
  readonly content: string;
}

/** Users and groups as the sandbox sees them, under the ids it has inside. */
export function makeUserFiles(uid: number, gid: number, home: string): readonly DataFile[] {
  return [
    {
      path: "/etc/passwd",
      content: `root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:${uid}:${gid}:sandbox:${home}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n`,
    },
    { path: "/etc/group", content: `root:x:0:\nsandbox:x:${gid}:\nnogroup:x:65534:\n` },
    {
      path: "/etc/nsswitch.conf",
      content: "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
    },
  ];
}
