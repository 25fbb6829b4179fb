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
