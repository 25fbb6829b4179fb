import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { readFacts } from "../../src/benchmark/facts.ts";
import { Response } from "../../src/client/ractor/reply-schemas.ts";
import type { TaskRequest } from "../../src/model/task.ts";
import { TaskInput } from "../../src/model/task.ts";
import { openTestApp } from "../support/home.ts";
import { showCalls } from "./support.ts";

let app: App;
beforeAll(async () => {
  app = await openTestApp();
});
afterAll(async () => await app[Symbol.asyncDispose]());

const respond = (fields: Record<string, unknown>) => Response.parse({ id: "r", status: "completed", ...fields });
const call = (fields: Record<string, unknown>) => ({ type: "tool_result", tool: "run_bash", ...fields });
const run = async (task: TaskRequest) =>
  await app.executor.runTask(TaskInput.parse({ bare: true, node_type: "file", ...task }));

test("benchmark facts - the sums over a real task's records are the task's own metrics", async () => {
  const result = await run({
    tool_calls: [
      { tool: "write_file", input: { path: "a", content: "text" } },
      { tool: "read_file", input: { path: "a" } },
      { tool: "run_command", input: { command: "cat a" } },
    ],
  });
  const facts = readFacts(respond({ segments: showCalls(result) }));
  const { latency_ms, success, transit_bytes } = result.metrics;
  expect(facts).toEqual({
    source: "records",
    tool_calls: 3,
    calls_failed: 0,
    attempts: success.attempts,
    retries: 0,
    network_ms: latency_ms.network,
    compute_ms: latency_ms.compute,
    request_bytes: transit_bytes.request,
    response_bytes: transit_bytes.response,
    egress_tx_bytes: 0,
    egress_rx_bytes: 0,
    failure: null,
  });
  expect(facts.compute_ms).toBeGreaterThan(0);
  expect(facts.response_bytes).toBeGreaterThanOrEqual(8);
});

test("benchmark facts - a failure has the server's code and the verdict of the call that failed", async () => {
  const result = await run({ code: { language: "bash", source: "echo first >&2; echo why >&2; exit 3" } });
  const facts = readFacts(respond({ status: result.status, error: result.error, segments: showCalls(result) }));
  expect(facts).toMatchObject({ tool_calls: 1, calls_failed: 1, failure: { code: "nonzero", verdict: "nonzero" } });
  expect(facts.failure?.message).toMatch(/exit code 3: why$/);
});

test("benchmark facts - a result without its record is a call that was lost", async () => {
  const result = await run({ code: { language: "bash", source: "true" } });
  const segments = [...showCalls(result), call({ output: { status: "error" } })];
  expect(readFacts(respond({ status: "failed", segments }))).toMatchObject({
    source: "records",
    tool_calls: 2,
    calls_failed: 1,
    attempts: 2,
    failure: { code: "failed" },
  });
});

test("benchmark facts - a stock server's segments give calls and failures, and nothing that nobody measured", () => {
  const segments = [
    { type: "tool_call", tool: "run_bash", args: {} },
    call({ output: { status: "ok", exit_code: null } }),
    call({ output: { status: "ok", exit_code: 2 } }),
    call({ output: { status: "error", error: "no" } }),
    call({ tool: "update_plan", output: { status: "ok" } }),
    call({ tool: "output", output: { status: "ok" } }),
  ];
  const facts = readFacts(respond({ segments }));
  expect(facts).toMatchObject({ source: "segments", tool_calls: 3, calls_failed: 2, failure: null });
  for (const key of ["network_ms", "compute_ms", "request_bytes", "egress_rx_bytes"] as const)
    expect([key, facts[key]]).toEqual([key, null]);
});

test("benchmark facts - a task completed without any call has not been done", () => {
  const segments = [call({ tool: "output", output: { status: "ok" } })];
  expect(readFacts(respond({ segments })).failure?.code).toBe("no_tool_calls");
});

test("benchmark facts - hostile codes and messages come out as plain words of bounded length", () => {
  const error = { code: "=cmd|' /C calc'!A0", message: `a\u001b[31m\n${"b".repeat(5000)}` };
  const { failure } = readFacts(respond({ status: "failed", error }));
  expect(failure?.code).toBe("unknown");
  expect(failure?.message).toMatch(/^a \[31m b+$/);
  expect(failure?.message.length).toBeLessThanOrEqual(300);
});
