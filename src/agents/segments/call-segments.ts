import { clipText } from "../../lib/bounded-text.ts";
import { formatTime } from "../../lib/timestamp.ts";
import type { ToolCallRecord } from "../../model/record.ts";
import type { Segment } from "../../model/response.ts";
import type { CallValue } from "../../model/result.ts";
import { tellRecord } from "../core/errors-for-callers.ts";
import type { ResponseSizeBudget } from "./response-size-budget.ts";

/** A call that has begun. */
export interface StartedCall {
  readonly callId: string;
  readonly tool: string;
  readonly title: string;
  /** As planned. */
  readonly input: unknown;
}

/** Of stdout and stderr in `output`; the record has the rest. */
const SHOWN_OUTPUT = 8 * 1024;
/** Of one text in `args`: the input was stored with the response. */
const SHOWN_ARGUMENT = 32 * 1024;
const MAX_ARGUMENTS = 256 * 1024;
const MAX_VALUE = 4 * 1024 * 1024;

export function makeCallSegment({ callId, tool, title, input }: StartedCall): Segment {
  return {
    type: "tool_call",
    tool,
    args: { commentary: title, ...shortenArguments(input) },
    id: callId,
    at: formatTime(),
  };
}

/**
 * The record, as far as the response's budget goes; `value`, `rich` and `guest_error` within it and only up to 4 MiB
 * each, else `left_out` names them.
 */
export function makeResultSegment(written: ToolCallRecord, value: CallValue, budget: ResponseSizeBudget): Segment {
  const record = tellRecord(written);
  const { kept, leftOut } = keepValues(value, budget);
  return {
    type: "tool_result",
    tool: record.operation,
    output: describeOutput(record),
    id: record.tool_call_id,
    at: formatTime(),
    duration_ms: record.execution_time_ms,
    ...(record.return_code === undefined ? {} : { exit_code: record.return_code }),
    record: budget.fitRecord(record),
    ...kept,
    ...(leftOut.length === 0 ? {} : { left_out: leftOut }),
  };
}

/** The result of a call that the platform could not bring to its end. */
export function makeLostSegment({ callId, tool }: StartedCall, message: string): Segment {
  return { type: "tool_result", tool, output: { status: "error", tool, error: message }, id: callId, at: formatTime() };
}

function describeOutput(record: ToolCallRecord): object {
  const stdout = clipText(record.stdout.text, SHOWN_OUTPUT);
  const stderr = clipText(record.stderr.text, SHOWN_OUTPUT);
  const isCut = record.stdout.dropped_bytes + record.stderr.dropped_bytes > 0;
  return {
    status: record.success ? "ok" : "error",
    tool: record.operation,
    ...(record.return_code === undefined ? {} : { exit_code: record.return_code }),
    stdout: stdout.text,
    stderr: stderr.text,
    truncated: stdout.isClipped || stderr.isClipped || isCut,
    ...(record.success ? {} : { error: describeFailure(record) }),
  };
}

function describeFailure({ error, signal, return_code: code, verdict }: ToolCallRecord): string {
  if (error !== undefined) return error.message;
  if (signal !== undefined) return `ended by signal ${signal}`;
  return code === undefined ? verdict : `exit code ${code}`;
}

function shortenArguments(input: unknown): Record<string, unknown> {
  if (typeof input !== "object" || input === null) return {};
  const shortened = Object.entries(input).map(([name, value]): [string, unknown] => [
    name,
    typeof value === "string" ? clipText(value, SHOWN_ARGUMENT).text : value,
  ]);
  const { length } = JSON.stringify(shortened);
  return length <= MAX_ARGUMENTS ? Object.fromEntries(shortened) : { left_out: `${length} characters of arguments` };
}

function keepValues(
  value: CallValue,
  budget: ResponseSizeBudget,
): { readonly kept: Record<string, unknown>; readonly leftOut: readonly string[] } {
  const kept: Record<string, unknown> = {};
  const leftOut: string[] = [];
  for (const field of ["value", "rich", "guest_error"] as const) {
    const part = value[field];
    if (part === undefined) continue;
    const { length } = JSON.stringify(part);
    if (length <= MAX_VALUE && budget.take(length)) kept[field] = part;
    else leftOut.push(field);
  }
  return { kept, leftOut };
}
