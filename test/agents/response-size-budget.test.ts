import { expect, test } from "vitest";
import { ResponseSizeBudget } from "../../src/agents/segments/response-size-budget.ts";
import type { FileChange, OutputRecord, ToolCallRecord } from "../../src/model/record.ts";

const MIB = 1024 * 1024;
const stream = (text: string): OutputRecord => ({ text, total_bytes: text.length, dropped_bytes: 0 });
const files = Array.from({ length: 100 }, (_value, index) => ({ path: `f${index}`, type: "file", size: index }));

function makeRecord(outputBytes: number, created: readonly object[] = []): ToolCallRecord {
  const lists = {
    files_created: created as readonly FileChange[],
    files_modified: [],
    files_deleted: [],
    files_more: 3,
  };
  const streams = { stdout: stream("o".repeat(outputBytes)), stderr: stream("e".repeat(outputBytes)) };
  return { operation: "run_command", ...lists, ...streams } as unknown as ToolCallRecord;
}

test("kept budget - what fits is stored as it is", () => {
  const record = makeRecord(MIB, files);
  expect(new ResponseSizeBudget().fitRecord(record)).toEqual(record);
});

test("kept budget - however many calls, all together stay bounded, and what is missing is counted", () => {
  const budget = new ResponseSizeBudget();
  const kept = Array.from({ length: 200 }, () => budget.fitRecord(makeRecord(MIB, files)));
  expect(JSON.stringify(kept).length).toBeLessThan(13 * MIB);
  const last = kept.at(-1);
  for (const { text, total_bytes, dropped_bytes } of [last?.stdout ?? stream(""), last?.stderr ?? stream("")]) {
    expect([text.length < 9000, total_bytes]).toEqual([true, MIB]);
    expect(dropped_bytes).toBeGreaterThan(MIB - 9000);
  }
  expect([last?.files_created.length, last?.files_more]).toEqual([20, 83]);
  expect(budget.take(MIB)).toBe(false);
});

test("kept budget - a stream that was spilled is not counted as dropped", () => {
  const budget = new ResponseSizeBudget();
  while (budget.take(MIB));
  const spill = { path: ".paddock/out/x", bytes: 2 * MIB, sha256: "" };
  const record = { ...makeRecord(MIB), stdout: { ...stream("o".repeat(MIB)), total_bytes: 2 * MIB, spill } };
  const { stdout } = budget.fitRecord(record);
  expect([stdout.text.length < 9000, stdout.dropped_bytes]).toEqual([true, 0]);
});
