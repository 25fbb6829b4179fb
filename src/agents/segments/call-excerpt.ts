import type { CallEnd } from "../../executor/sinks/task-event.ts";
import { shortenEnd, shortenText } from "../../lib/bounded-text.ts";
import type { OutputRecord, ToolCallRecord } from "../../model/record.ts";

/** A call that has ended, with as much of its output as the response's last text may need. */
export interface EndedCall extends CallEnd {
  /** Left out of the middle of its output already. */
  readonly cutBytes?: number;
}

/** Of one call's output in the last text, in UTF-16 units. */
export const MAX_SHOWN_TEXT = 16 * 1024;
export const STDERR_LENGTH = 4096;

/**
 * Without the streams' texts, the lists of files and the values: a task of many calls holds none of these until its
 * end.
 */
export function forgetOutput({ record, value }: CallEnd): CallEnd {
  const { tool_call_id, title } = value;
  return { record: replaceTexts(record, "", ""), value: { tool_call_id, title } };
}

/**
 * What the last text can show of a call: both ends of its output, or of its value when it printed nothing, and the end
 * of its stderr.
 */
export function excerptCall({ record, value }: CallEnd): EndedCall {
  const { tool_call_id, title } = value;
  const stderr = shortenEnd(record.stderr.text.trimEnd(), STDERR_LENGTH);
  const printed = shortenText(record.stdout.text, MAX_SHOWN_TEXT);
  const shown = printed.text === "" ? shortenText(describeValue(value.value), MAX_SHOWN_TEXT) : printed;
  const told = printed.text === "" && shown.text !== "" ? { value: shown.text } : {};
  return {
    record: replaceTexts(record, printed.text, stderr),
    value: { tool_call_id, title, ...told },
    cutBytes: shown.cutBytes,
  };
}

function describeValue(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function replaceTexts(record: ToolCallRecord, stdout: string, stderr: string): ToolCallRecord {
  const replace = (stream: OutputRecord, text: string): OutputRecord => ({ ...stream, text });
  const files = { files_created: [], files_modified: [], files_deleted: [] };
  return { ...record, ...files, stdout: replace(record.stdout, stdout), stderr: replace(record.stderr, stderr) };
}
