import { expect, test } from "vitest";
import { hideHostDetails, tellRecorded } from "../../src/agents/core/errors-for-callers.ts";
import { makeResultSegment } from "../../src/agents/segments/call-segments.ts";
import { ResponseSizeBudget } from "../../src/agents/segments/response-size-budget.ts";
import { PaddockError, toPaddockError } from "../../src/errors/error.ts";
import type { ToolCallRecord } from "../../src/model/record.ts";

test("told - what a defect says of the host is for the log; what concerns the task is told", () => {
  const defect = toPaddockError(new Error("ENOENT: no such file or directory, lstat '/srv/paddock/secret'"));
  const told = hideHostDetails(defect);
  expect(JSON.stringify([told, tellRecorded(defect.toJSON())])).not.toContain("/srv");
  expect([told.code, told.cause]).toEqual(["internal", defect]);
  const spoken = new PaddockError("task_lost", "the process died");
  expect(hideHostDetails(spoken)).toBe(spoken);
  expect(tellRecorded(spoken.toJSON())).toEqual(spoken.toJSON());
});

test("told - a hint that speaks of the host's command line is put in words for HTTP; one of the place of failure stays", () => {
  const full = new PaddockError("no_space", "the disk is full");
  for (const told of [hideHostDetails(full), tellRecorded(full.toJSON())])
    expect(told).toMatchObject({
      code: "no_space",
      message: "the disk is full",
      hint: expect.not.stringContaining("HOME"),
    });
  const own = new PaddockError("not_found", "no such file", { hint: "Use `paddock ps`." });
  expect(hideHostDetails(own)).toBe(own);
});

test("told - a call's segment tells nothing of the host either, in its output, its record and its attempts", () => {
  const error = toPaddockError(new Error("ENOENT: no such file or directory, lstat '/srv/paddock/secret'")).toJSON();
  const stream = { text: "", total_bytes: 0, dropped_bytes: 0 };
  const lists = { files_created: [], files_modified: [], files_deleted: [], files_more: 0 };
  const attempts = [{ start_time: "", duration_ms: 1, verdict: "platform", error }];
  const failed = { operation: "run_command", success: false, verdict: "platform", stdout: stream, stderr: stream };
  const record = { ...failed, ...lists, error, attempts } as unknown as ToolCallRecord;
  const segment = makeResultSegment(
    record,
    { tool_call_id: record.tool_call_id, title: "x" },
    new ResponseSizeBudget(),
  );
  expect(JSON.stringify(segment)).not.toContain("/srv");
  expect(segment).toMatchObject({
    record: { error: { code: "internal" }, attempts: [{ error: { code: "internal" } }] },
  });
});
