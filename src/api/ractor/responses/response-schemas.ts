import { z } from "zod";
import { RESPONSE_STATUSES } from "../../../model/response.ts";

const LONGEST_TASK_SECONDS = 86_400;
const LONGEST_WAIT_SECONDS = 3600;

const given = z.unknown().refine((value) => value !== undefined, "missing field");

export const PostResponseBody = z.object({
  /** Any JSON. */
  input: given,
  /** False: answer when the response has ended, or the wait is over. */
  background: z.boolean().nullish(),
  wait_seconds: z.number().min(0).max(LONGEST_WAIT_SECONDS).nullish(),
  /** `refuse`: 409 in place of queueing, as old servers do. */
  if_busy: z.enum(["queue", "refuse"]).nullish(),
  timeout_seconds: z.number().min(0.001).max(LONGEST_TASK_SECONDS).nullish(),
  /** May run a second time after the server died in the middle. */
  idempotent: z.boolean().nullish(),
});
export type PostResponseBody = z.infer<typeof PostResponseBody>;

const Item = z.looseObject({ type: z.string().max(256) });

export const PutResponseBody = z.object({
  status: z.enum(RESPONSE_STATUSES).nullish(),
  input: z.unknown().optional(),
  /** `items` are appended to the segments. */
  output: z.object({ text: z.string().nullish(), items: z.array(Item).max(1000).nullish() }).nullish(),
});
export type PutResponseBody = z.infer<typeof PutResponseBody>;

/**
 * Old inputs in the present shape: `{text}` and a bare string become `content` with one text item. Everything else
 * stays as it is.
 */
export function convertInput(input: unknown): unknown {
  if (typeof input === "string") return { content: [{ type: "text", content: input }] };
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { content, text } = input as { readonly content?: unknown; readonly text?: unknown };
  if (Array.isArray(content) || typeof text !== "string") return input;
  return { ...input, content: [{ type: "text", content: text }] };
}
