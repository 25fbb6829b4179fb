import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../../lib/process-identity.ts";
import type { UsageSample } from "../driver.ts";
import { findGroups } from "../host/cgroup-layout.ts";
import { UsageReader } from "../host/cgroup-usage.ts";
import type { ContainerFacts } from "./engine.ts";

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
 * The container's first process and its groups as this machine sees them. Undefined for an engine elsewhere, where that pid is nobody's or
 * another's: the process must be in a group that is named after the container.
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

/** Kills the container's first process, and with it its pid namespace, without the engine. False where it does not live. */
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

const CONFINED_MS = 2000;

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
 * What the kernel says of a container's first process, once its program runs: no capabilities, no new privileges, the filter, its own uid.
 * Throws `isolation_failed`. The runtime sets the filter last, shortly after the engine calls the container started.
 */
export async function assertConfined({ process: identity }: LocalEvidence, uid: number): Promise<void> {
  const end = performance.now() + CONFINED_MS;
  for (;;) {
    const status = readText(`/proc/${identity.pid}/status`);
    if (status === undefined || !isAlive(identity)) return;
    const breach = describeBreach(status, uid);
    if (breach === undefined) return;
    if (performance.now() > end) throw new PaddockError("isolation_failed", `the container is not confined: ${breach}`);
    await sleep(2);
  }
}

/** Whether the container's first process has this uid on this machine; gVisor's has its own. */
export function runsUnder({ process: { pid } }: LocalEvidence, uid: number): boolean {
  return new RegExp(`^Uid:\\s*${uid}\\s`, "m").test(readText(`/proc/${pid}/status`) ?? "");
}
