import { readdirSync, readFileSync } from "node:fs";

/** Sum of PSS in bytes over all processes of one host uid. */
export function sumPssOfUid(uid: number): number {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .reduce((total, pid) => total + pssOf(pid, uid), 0);
}

/** Host uids of the sandbox pool with living processes. */
export function liveUids(first: number, last: number): number[] {
  const uids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(uidOf)
    .filter((uid): uid is number => uid !== undefined && uid >= first && uid <= last);
  return [...new Set(uids)];
}

function uidOf(pid: string): number | undefined {
  try {
    return Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}

function pssOf(pid: string, uid: number): number {
  if (uidOf(pid) !== uid) return 0;
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
