import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { SandboxId } from "../model/ids.ts";

const OwnerRecord = z.object({ container: z.object({ id: z.string().min(12) }).nullish() });

interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  /** Control groups and command line: where an id of the sandbox or its container shows. */
  readonly marks: string;
}

/**
 * Resident memory of a living sandbox in bytes: the sum of PSS over every process of it on this host, with what the
 * engine runs for it (shim, Sentry, gofer). Throws an Error where it cannot be told.
 */
export function measureResidentBytes(owners: string, id: SandboxId): number {
  const processes = findProcesses(listProcesses(), [id, ...findContainerIds(owners, id)]);
  if (processes.length === 0) throw new Error("no process of it is on this host");
  return processes.reduce((total, pid) => total + readPssBytes(pid), 0);
}

/** The owner's record names the engine's id, which marks the container's groups and the engine's helpers. */
function findContainerIds(owners: string, id: SandboxId): string[] {
  try {
    const record = OwnerRecord.parse(JSON.parse(readFileSync(join(owners, id), "utf8")));
    return record.container ? [record.container.id] : [];
  } catch {
    return [];
  }
}

/** Processes that bear one of the marks, and all that descend from them. */
function findProcesses(processes: readonly HostProcess[], marks: readonly string[]): number[] {
  const found = new Set(
    processes.filter((process) => marks.some((mark) => process.marks.includes(mark))).map(({ pid }) => pid),
  );
  let size = -1;
  while (size !== found.size) {
    size = found.size;
    for (const { pid, parent } of processes) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

function listProcesses(): HostProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => describeProcess(Number(name)));
}

function describeProcess(pid: number): HostProcess[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    const marks = ["cgroup", "cmdline"].map((file) => readFileSync(`/proc/${pid}/${file}`, "utf8")).join("\n");
    return [{ pid, parent, marks }];
  } catch {
    return [];
  }
}

/** A process that ended meanwhile has none; one that may not be read makes the sum unknown. */
function readPssBytes(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return 0;
    throw new Error("reading the memory of its processes needs root", { cause: error });
  }
}
