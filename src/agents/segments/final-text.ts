import { clipText, fence, lastLines } from "../../lib/bounded-text.ts";
import type { RecordedError } from "../../model/record.ts";
import { type EndedCall, MAX_SHOWN_TEXT as MAX_TEXT, STDERR_LENGTH } from "./call-excerpt.ts";

/** What a response ends with, for people: the same twice, as plain text and as Markdown. */
export interface FinalText {
  readonly plain: string;
  readonly markdown: string;
}

export const MAX_SHOWN_CALLS = 20;
const STDERR_LINES = 20;

/** What the calls printed; of a call that printed nothing, its value. */
export function describeSuccess(calls: readonly EndedCall[]): FinalText {
  const [only, ...more] = calls;
  if (only !== undefined && more.length === 0) {
    const output = outputOf(only, MAX_TEXT);
    const plain = output === "" ? `${only.value.title}: done, without output` : output;
    return { plain, markdown: `## Result\n\n${output === "" ? plain : fence(output)}\n` };
  }
  const shown = calls.slice(-MAX_SHOWN_CALLS);
  const share = Math.floor(MAX_TEXT / Math.max(1, shown.length));
  const parts = shown.map((call) => ({ head: headOf(call), output: outputOf(call, share) }));
  const count = `${calls.length} calls, all done${calls.length > shown.length ? `; the last ${shown.length}:` : ""}`;
  const plain = [count, ...parts.map(({ head, output }) => [head, output].filter(Boolean).join("\n"))];
  const markdown = parts.map(({ head, output }) => (output === "" ? `- ${head}` : `- ${head}\n\n${fence(output)}\n`));
  return { plain: plain.join("\n"), markdown: `## Result\n\n${count}\n\n${markdown.join("\n")}\n` };
}

/** Message, code and hint, and what the call that failed said last. */
export function describeFailure(error: RecordedError, calls: readonly EndedCall[], status: string): FinalText {
  const failed = calls.findLast(({ record }) => !record.success);
  const stderr = failed === undefined ? "" : lastLines(failed.record.stderr.text, STDERR_LINES, STDERR_LENGTH);
  const reason = clipText(error.message, MAX_TEXT).text;
  const head = `${status}: ${reason} (${error.code})\nHint: ${error.hint}`;
  const title = status === "cancelled" ? "Cancelled" : "Failed";
  return {
    plain: stderr === "" ? head : `${head}\n\nLast lines of stderr:\n${stderr}`,
    markdown: [
      `## ${title}`,
      `${reason} (\`${error.code}\`)`,
      `Hint: ${error.hint}`,
      ...(stderr === "" ? [] : [`Last lines of stderr:\n\n${fence(stderr)}`]),
    ].join("\n\n"),
  };
}

const headOf = ({ record, value }: EndedCall): string => `${value.title}: ${record.success ? "ok" : record.verdict}`;

function outputOf({ record, value, cutBytes }: EndedCall, maxLength: number): string {
  const result = record.stdout.text === "" ? (value.value ?? "") : record.stdout.text;
  const text = typeof result === "string" ? result : JSON.stringify(result);
  return clipText(text, maxLength, cutBytes).text;
}
