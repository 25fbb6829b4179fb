import { readdirSync, readFileSync } from "node:fs";

/** Names one process of one boot: a pid alone may be reused. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot (field 22 of /proc/<pid>/stat, proc(5)). */
  readonly startTicks: string;
  readonly bootId: string;
}

/** The identity of a living process, or undefined when there is none. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const startTicks = afterName[19];
    if (startTicks === undefined || afterName[0] === "Z") return undefined;
    return { pid, startTicks, bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() };
  } catch {
    return undefined;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  const now = identifyProcess(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

/**
 * Whether a thread of the process waits for a processor or the disk, or works, at this moment (state R or D, proc(5)):
 * it is slow, not stuck.
 */
export function isHeldUp(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
      return /^[RD]$/.test(stat.charAt(stat.lastIndexOf(")") + 2));
    });
  } catch {
    return false;
  }
}
