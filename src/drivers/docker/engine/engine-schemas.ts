import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";

/**
 * What we read of an engine's answers. Its word is believed, its form is not: an id becomes part of paths, and a pid is
 * killed.
 */

const ContainerId = z.string().regex(/^[0-9a-f]{64}$/);
const LabelMap = z.record(z.string(), z.string()).nullish();

export const CreatedContainer = z.object({ id: ContainerId });

export const InspectedContainer = z.object({
  Id: ContainerId,
  Image: z.string(),
  Config: z.object({ Labels: LabelMap }),
  State: z.object({
    Running: z.boolean(),
    Paused: z.boolean().default(false),
    OOMKilled: z.boolean().default(false),
    ExitCode: z.int(),
    Error: z.string().default(""),
    StartedAt: z.string(),
    Pid: z.int().min(0),
  }),
});

export const ListedContainers = z.array(z.object({ Id: ContainerId, Labels: LabelMap, Created: z.number() }));

/** Throws `engine_failed` for an answer of another form. */
export function readAnswer<T>(schema: z.ZodType<T>, answer: unknown, action: string): T {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PaddockError(
    "engine_failed",
    `could not ${action}: the answer is not an engine's (${issue?.path.join(".")}: ${issue?.message})`,
  );
}
