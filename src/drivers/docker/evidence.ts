import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../../lib/process-identity.ts";
import type { UsageSample } from "../driver.ts";
import { findGroups } from "../host/cgroup-layout.ts";
import { UsageReader } from "../host/cgroup-usage.ts";
import type { ContainerFacts } from "./engine/engine.ts";

/** What this machine itself shows of a container, so that the engine's word need not be taken. */
export interface LocalEvidence {
  readonly process: ProcessIdentity;
  readonly usage: UsageReader;
  readonly cgroups: readonly string[];
}

const readText = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

/**
 * The container's first process and its groups as this machine sees them. Undefined for an engine elsewhere, where that
 * pid is nobody's or another's: the process must be in a group that is named after the container.
 */
export function findLocalEvidence({ pid, id }: ContainerFacts): LocalEvidence | undefined {
  if (pid === null) return undefined;
  const process = identifyProcess(pid);
  const membership = readText(`/proc/${pid}/cgroup`);
  const mountinfo = readText("/proc/self/mountinfo");
  if (process === undefined || membership === undefined || mountinfo === undefined || !membership.includes(id)) {
    return undefined;
  }
  const found = findGroups({ membership, mountinfo });
  if (found === undefined || !found.name.includes(id))
    return { process, usage: new UsageReader(undefined, id), cgroups: [] };
  const cgroups = found.folders.filter((folder) => folder.includes(id));
  const usage = new UsageReader(found.layout, found.name);
  usage.read();
  return { process, usage, cgroups };
}

/**
 * Kills the container's first process, and with it its pid namespace, without the engine. False where it does not live.
 */
export function killLocally({ process: identity }: LocalEvidence): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, "SIGKILL");
  } catch {
    return false;
  }
}

type Fields = Readonly<Record<string, unknown>>;
const readFields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const readNumber = (fields: Fields, name: string): number | undefined => {
  const value = fields[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
};

/** One line of the engine's stats as counters. cgroup v2 engines leave the peak and the failures out. */
export function readStats(line: unknown): UsageSample {
  const stats = readFields(line);
  const memory = readFields(stats["memory_stats"]);
  const cpu = readFields(readFields(stats["cpu_stats"])["cpu_usage"]);
  const counters = {
    cpuTotalUs: readNumber(cpu, "total_usage"),
    cpuUserUs: readNumber(cpu, "usage_in_usermode"),
    cpuSystemUs: readNumber(cpu, "usage_in_kernelmode"),
  };
  const inMicroseconds = Object.entries(counters).flatMap(([name, ns]) =>
    ns === undefined ? [] : [[name, Math.round(ns / 1000)] as const],
  );
  const bytes = readNumber(memory, "usage");
  const peak = readNumber(memory, "max_usage");
  return {
    ...Object.fromEntries(inMicroseconds),
    ...(bytes === undefined ? {} : { memoryBytes: bytes }),
    ...(peak === undefined ? {} : { memoryPeakBytes: peak }),
  };
}

/** A runtime that hides its own process has this long to protect the container's first one. */
const CONFINED_MS = 2000;
/** An engine says that a container runs when its command is about to begin; then it begins within this. */
const BEGIN_MS = 30_000;
/** What runtimes call their process until it becomes the command: `runc:[2:INIT]`, `crun`. */
const RUNTIME_PROCESS = /^(runc|crun|youki)\b/;

function describeBreach(status: string, uid: number): string | undefined {
  const read = (field: string): string => new RegExp(`^${field}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
  const capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].filter((field) => !/^0+$/.test(read(field)));
  if (capabilities.length > 0) return `it kept capabilities (${capabilities.join(", ")})`;
  if (read("NoNewPrivs") !== "1") return "it may gain privileges";
  if (read("Seccomp") !== "2") return "no filter of system calls is active";
  const ids = new Set(read("Uid").split(/\s+/));
  return ids.size === 1 && ids.has(String(uid)) ? undefined : `it runs under the uids ${[...ids].join(", ")}`;
}

/**
 * What the kernel says of a container's first process, once its program runs: no capabilities, no new privileges, the
 * filter, its own uid. Throws `isolation_failed`. The runtime sets the filter last, after the engine calls the
 * container started: as long as the process is still the runtime's own, which on a busy machine may take its time,
 * nothing is missing. Returns early when the caller has left or the process is gone.
 */
export async function assertConfined(
  { process: identity }: LocalEvidence,
  uid: number,
  signal: AbortSignal,
): Promise<void> {
  const begun = performance.now();
  let seenAt = begun;
  while (!signal.aborted) {
    // Before the status: what has another name by then has all the protection that it will get.
    const name = readText(`/proc/${identity.pid}/comm`);
    const status = readText(`/proc/${identity.pid}/status`);
    if (name === undefined || status === undefined || !isAlive(identity)) return;
    const breach = describeBreach(status, uid);
    if (breach === undefined) return;
    const now = performance.now();
    if (RUNTIME_PROCESS.test(name)) seenAt = now;
    if (now - begun > BEGIN_MS) throw new PaddockError("create_failed", `the command has not begun in ${BEGIN_MS} ms`);
    if (now - seenAt > CONFINED_MS)
      throw new PaddockError("isolation_failed", `the container is not confined: ${breach}`);
    await sleep(2);
  }
}

/** Whether the container's first process has this uid on this machine; gVisor's has its own. */
export function runsUnder({ process: { pid } }: LocalEvidence, uid: number): boolean {
  return new RegExp(`^Uid:\\s*${uid}\\s`, "m").test(readText(`/proc/${pid}/status`) ?? "");
}
