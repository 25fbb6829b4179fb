import { cpus, loadavg, release, totalmem } from "node:os";
import { z } from "zod";

/** The machine that figures were measured on. */
export const Machine = z.strictObject({
  cpu: z.string(),
  cores: z.int(),
  memory_bytes: z.int(),
  kernel: z.string(),
  node: z.string(),
  /** One-minute load average before and after. */
  load: z.tuple([z.number(), z.number()]),
});

export type Machine = z.infer<typeof Machine>;

/** This machine. `loadBefore` is the one-minute load average at the start. */
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
