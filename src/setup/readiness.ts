import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { parseUntrustedJson } from "../lib/json.ts";

const MAX_READINESS_LENGTH = 1 << 20;

const readinessSchema = z.strictObject({
  ok: z.boolean(),
  /** The step that ran last: the failed one when `ok` is false. */
  step: z.string(),
  error: z.string().nullable(),
  /** `hash` of the setup code that wrote the file (`renderSetup`). */
  plan: z.string().regex(/^[0-9a-f]{64}$/),
  /** Installed version of every package that the plan names. */
  versions: z.record(z.string(), z.string()),
});

export type Readiness = z.infer<typeof readinessSchema>;

/**
 * What setup code wrote to `$ENV_DIR/ready.json`. The file comes from a sandbox: anything unexpected throws
 * `setup_failed`.
 */
export function parseReadiness(text: string): Readiness {
  if (text.length > MAX_READINESS_LENGTH)
    throw new PaddockError("setup_failed", "the readiness file is larger than 1 MiB");
  try {
    return readinessSchema.parse(parseUntrustedJson(text));
  } catch (cause) {
    throw new PaddockError("setup_failed", "the readiness file does not have the expected shape", { cause });
  }
}
