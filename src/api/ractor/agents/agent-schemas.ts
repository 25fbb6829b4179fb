import { z } from "zod";
import { AGENT_STATES } from "../../../model/agent.ts";

/** Bodies about agents. Unknown keys are dropped here and reach nothing. */

const MAX_METADATA_BYTES = 64 * 1024;
const MAX_TEXT_LENGTH = 1024 * 1024;
/** Descriptions are shown in lists, to strangers too when the agent is published. */
const MAX_DESCRIPTION_LENGTH = 16 * 1024;

export const AgentName = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9-]{0,62}[A-Za-z0-9]$/,
    "agent name has 2 to 64 letters, digits and hyphens, begins with a letter and ends with a letter or digit",
  );

const Tag = z
  .string()
  .trim()
  .toLowerCase()
  .regex(/^[a-z0-9/._-]{1,128}$/, "a tag has 1 to 128 letters, digits and / - _ .");
const Tags = z.array(Tag).max(100);

const Metadata = z
  .unknown()
  .refine((value) => JSON.stringify(value ?? null).length <= MAX_METADATA_BYTES, "more than 64 KiB")
  .optional();

// Postgres keeps no NUL in text.
const plainText = z
  .string()
  .max(MAX_TEXT_LENGTH)
  .refine((text) => !text.includes("\0"), "holds a NUL character");
const timeoutSeconds = z.int().min(1).max(604_800).nullish();
const environment = z.record(z.string(), z.string());

export const CreateAgentBody = z.object({
  name: AgentName,
  description: plainText.max(MAX_DESCRIPTION_LENGTH).nullish(),
  metadata: Metadata,
  tags: Tags.optional(),
  env: environment.optional(),
  /** The name of `env` on servers before October 2025. */
  secrets: environment.optional(),
  instructions: plainText.nullish(),
  setup: plainText.nullish(),
  prompt: plainText.nullish(),
  idle_timeout_seconds: timeoutSeconds,
  busy_timeout_seconds: timeoutSeconds,
});
export type CreateAgentBody = z.infer<typeof CreateAgentBody>;

export const UpdateAgentBody = z.object({
  metadata: Metadata,
  description: plainText.max(MAX_DESCRIPTION_LENGTH).nullish(),
  tags: Tags.nullish(),
  idle_timeout_seconds: timeoutSeconds,
  busy_timeout_seconds: timeoutSeconds,
});
export type UpdateAgentBody = z.infer<typeof UpdateAgentBody>;

export const StateBody = z.object({ state: z.enum(AGENT_STATES) });

export const SleepBody = z
  .object({ delay_seconds: z.int().min(0).max(604_800).nullish(), note: plainText.max(4096).nullish() })
  .nullish();

export const WakeBody = z.object({ prompt: plainText.nullish() }).nullish();

export const RemixBody = z.object({
  name: AgentName,
  metadata: Metadata,
  code: z.boolean().default(true),
  env: z.boolean().optional(),
  /** The old name of `env`. */
  secrets: z.boolean().optional(),
  /** Content is always copied. */
  content: z.boolean().optional(),
  prompt: plainText.nullish(),
});

export const PublishBody = z
  .object({
    code: z.boolean().default(true),
    env: z.boolean().optional(),
    secrets: z.boolean().optional(),
    content: z.boolean().optional(),
  })
  .nullish();

export const UsageBody = z.object({ tokens: z.int().min(0).max(2_147_483_647) });
