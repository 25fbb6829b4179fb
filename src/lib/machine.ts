import { cpus, loadavg, release, totalmem } from "node:os";

/** What figures depend on beside the code. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_bytes: number;
  readonly kernel: string;
  readonly node: string;
  /** One-minute load average before and after. */
  readonly load: [number, number];
}

/** Facts of this machine. `loadBefore` is the one-minute load average at the start. */
export function describeMachine(loadBefore: number): MachineFacts {
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
