import { z } from "zod";
import { isTerminalStatus, type OutputItem, RESPONSE_STATUSES, type Segment } from "../../../model/response.ts";
import type { ResponseWithSegments } from "../../../store/state-store/responses.ts";
import { showPreciseTime, showTime } from "../../http/times.ts";

const FailureBody = z.object({ code: z.string(), message: z.string(), hint: z.string(), retryable: z.boolean() });

/** The contract's Response (the first 8 keys) and what we add to it. */
export const ResponseBody = z.object({
  id: z.string(),
  agent_name: z.string(),
  status: z.enum(RESPONSE_STATUSES),
  input_content: z.array(z.unknown()),
  output_content: z.array(z.unknown()),
  segments: z.array(z.unknown()),
  created_at: z.string(),
  updated_at: z.string(),
  task_id: z.string(),
  attempts: z.int(),
  queued_at: z.string(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  error: FailureBody.nullable(),
  /** For clients of the first vintage; on ended responses. */
  output: z.object({ text: z.string(), items: z.array(z.unknown()) }).optional(),
});
export type ResponseBody = z.infer<typeof ResponseBody>;

export function viewResponse({ row, segments }: ResponseWithSegments): ResponseBody {
  return {
    id: row.id,
    agent_name: row.agentName,
    status: row.status,
    input_content: readContent(row.input),
    output_content: [...(row.outputContent ?? findOutput(segments) ?? [])],
    segments: [...segments],
    created_at: showTime(row.createdAt),
    updated_at: showTime(row.updatedAt),
    task_id: row.taskId,
    attempts: row.attempts,
    queued_at: new Date(row.createdAt).toISOString(),
    started_at: showPreciseTime(row.startedAt),
    finished_at: showPreciseTime(row.finishedAt),
    error: row.error === null ? null : pickFailure(row.error),
    ...(isTerminalStatus(row.status) ? { output: showOldOutput(segments) } : {}),
  };
}

const pickFailure = ({ code, message, hint, retryable }: z.infer<typeof FailureBody>) => ({
  code,
  message,
  hint,
  retryable,
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const readContent = (input: unknown): unknown[] =>
  isObject(input) && Array.isArray(input["content"]) ? input["content"] : [];

/**
 * What segments put out by themselves: the items of the last `output` result, else the content of the last `output`
 * call. Undefined when there is neither.
 */
export function findOutput(segments: readonly Segment[]): readonly OutputItem[] | undefined {
  const ofOutput = (type: string): Segment | undefined =>
    segments.findLast((segment) => segment.type === type && segment["tool"] === "output");
  const result = ofOutput("tool_result")?.["output"];
  if (isObject(result) && Array.isArray(result["items"])) return result["items"];
  const args = ofOutput("tool_call")?.["args"];
  return isObject(args) && Array.isArray(args["content"]) ? args["content"] : undefined;
}

/** The shape of servers before `output_content`: the final text, and a `final` item with it. */
function showOldOutput(segments: readonly Segment[]): NonNullable<ResponseBody["output"]> {
  const last = segments.findLast(({ type }) => type === "commentary")?.["text"];
  const text = typeof last === "string" ? last : "";
  return { text, items: text === "" ? [] : [{ type: "final", channel: "final", text }] };
}
