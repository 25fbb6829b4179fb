import { z } from "zod";
import { CATEGORIES, type ToolCallRecord } from "../../model/record.ts";
import type { CallValue } from "../../model/result.ts";
import { VERDICTS } from "../../model/verdict.ts";
import type { Segment } from "./reply-schemas.ts";

const amount = z.number().min(0);
const text = z.string().max(64 * 1024);
const Output = z.looseObject({ text: z.string(), total_bytes: amount, dropped_bytes: amount });
const changes = z.array(z.looseObject({ path: text, type: text, size: amount })).max(10_000);

/** A record that a server kept itself: what sums and views use must have its type, the rest is taken as it is. */
const ServerRecord = z.looseObject({
  tool_call_id: z.string().max(64),
  operation: text,
  category: z.enum(CATEGORIES),
  command: z.array(z.string()),
  start_time: text,
  end_time: text,
  execution_time_ms: amount,
  phases_ms: z.record(z.string(), amount),
  network_ms: amount,
  compute_ms: amount,
  success: z.boolean(),
  verdict: z.enum(VERDICTS),
  return_code: z.int().optional(),
  signal: z.string().max(16).optional(),
  retry_count: amount,
  attempts: z.array(z.looseObject({ verdict: z.enum(VERDICTS), duration_ms: amount })).max(100),
  stdout: Output,
  stderr: Output,
  request_bytes: amount,
  response_bytes: amount,
  egress: z.array(z.looseObject({ tx_bytes: amount, rx_bytes: amount })).max(10_000),
  files_created: changes,
  files_modified: changes,
  files_deleted: changes,
  files_more: amount,
  dependencies_installed: z.array(z.looseObject({ name: text, version: text })).max(10_000),
});

const Rich = z.array(z.object({ mime: z.string().max(256), base64: z.string() })).max(1000);

/** What a call of a server of ours gave besides its record. Rich outputs of another shape are left out. */
export function readValues(segment: Segment): Pick<CallValue, "value" | "rich" | "guest_error"> {
  const { value, guest_error } = segment;
  const { data: rich } = Rich.safeParse(segment["rich"]);
  return {
    ...(value === undefined ? {} : { value }),
    ...(rich === undefined ? {} : { rich }),
    ...(guest_error === undefined ? {} : { guest_error }),
  };
}

/**
 * The record that a server of ours puts on a `tool_result` segment; what is not checked is shown and never computed
 * with.
 */
export function readRecord(segment: Segment): ToolCallRecord | z.ZodError {
  const { data, error } = ServerRecord.safeParse(segment["record"]);
  return error ?? (data as unknown as ToolCallRecord);
}
