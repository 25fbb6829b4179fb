import { cpus, loadavg, release, totalmem } from "node:os";
import type { Comparison } from "../model/comparison.ts";

type Machine = Comparison["machine"];

/** Facts of this machine that figures depend on. `loadBefore` is the one-minute load average at the start. */
export function describeMachine(loadBefore: number): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memory_bytes: totalmem(),
    kernel: release(),
    node: process.version,
    load: [loadBefore, readLoad()],
  };
}

export function readLoad(): number {
  return loadavg()[0] ?? 0;
}
