import { expect, test } from "vitest";
import { excerptCall, forgetOutput } from "../../src/agents/segments/call-excerpt.ts";
import { describeFailure, describeSuccess } from "../../src/agents/segments/final-text.ts";
import type { CallEnd } from "../../src/executor/sinks/task-event.ts";
import type { ToolCallRecord } from "../../src/model/record.ts";

const ERROR = { code: "nonzero", message: "why", hint: "look", retryable: false };

function makeCall(stdout: string, stderr: string, value?: unknown): CallEnd {
  const stream = (text: string) => ({ text, total_bytes: text.length, dropped_bytes: 0 });
  const record = { success: false, verdict: "nonzero", stdout: stream(stdout), stderr: stream(stderr) };
  return {
    record: record as unknown as ToolCallRecord,
    value: { tool_call_id: "call_1", title: "one", ...(value === undefined ? {} : { value }) },
  };
}

const LONG = Array.from({ length: 40_000 }, (_, line) => `line ${line} €😀`).join("\n");

test.each([
  ["short output", makeCall("printed", "oh\n")],
  ["long output", makeCall(LONG, `${LONG}\n\n`)],
  ["long output, at every offset of a character", makeCall(`x${LONG}`, `${LONG}xyz`)],
  ["a value", makeCall("", "", { answer: 42 })],
  ["a long value", makeCall("", "", LONG)],
  ["nothing", makeCall("", "")],
])("ended call - what is kept of %s gives the same last text as the whole", (_what, call) => {
  const excerpt = excerptCall(call);
  for (const count of [1, 3]) {
    const calls = (one: CallEnd) => Array.from({ length: count }, () => one);
    const { value } = call.value;
    const printed = value === undefined || typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const whole = printed === undefined ? call : makeCall(printed, "");
    expect(describeSuccess(calls(excerpt))).toEqual(describeSuccess(calls(whole)));
    expect(describeFailure(ERROR, calls(excerpt), "failed")).toEqual(describeFailure(ERROR, calls(call), "failed"));
  }
  expect(JSON.stringify(excerpt).length).toBeLessThan(110_000);
  expect(JSON.stringify(forgetOutput(call)).length).toBeLessThan(500);
});
