import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { makeCall, makeRequest, makeTask, observe, STARTED_AT } from "./events.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

test("logs - one line per ended unit of work, with ids, sizes, phases and the trace", async () => {
  await using observed = await observe();
  const { telemetry } = observed;
  telemetry.record(makeRequest({ traceparent: `00-${TRACE}-00f067aa0ba902b7-01` }));
  telemetry.record(makeTask());
  telemetry.record(makeCall());
  telemetry.record({
    op: "agent.change",
    startedAt: STARTED_AT,
    durationMs: 3,
    agent: "a",
    from: "idle",
    to: "slept",
    reason: "idle timeout",
  });
  telemetry.record({ op: "server.change", startedAt: STARTED_AT, durationMs: 0, phase: "ready" });
  const [request, task, call, change, server, ...more] = observed.lines();
  expect(more).toEqual([]);
  expect(request).toMatchObject({
    level: "info",
    service: "paddock",
    version: "1.2.3",
    node: "node-1",
    op: "http.request",
    outcome: "ok",
    start: "2026-01-02T03:04:05.678Z",
    duration_ms: 12.5,
    request_id: "req-1",
    method: "GET",
    route: "/api/v0/agents/:name",
    status: 200,
    request_bytes: 0,
    response_bytes: 321,
    principal: "alice",
    aborted: false,
    trace_id: TRACE,
  });
  expect(task).toMatchObject({
    op: "task.run",
    outcome: "completed",
    node_type: "python",
    attempt: 1,
    phases_ms: { queue: 10, sandbox: 30, setup: 0, run: 60 },
  });
  expect(call).toMatchObject({
    op: "call.run",
    outcome: "ok",
    operation: "run_python",
    request_bytes: 1000,
    response_bytes: 2000,
    stdout_bytes: 7,
    network_ms: 5,
    compute_ms: 15,
  });
  expect(change).toMatchObject({ op: "agent.change", from: "idle", to: "slept", reason: "idle timeout" });
  expect(server).toMatchObject({ op: "server.change", phase: "ready" });
});

test.each([
  ["an answer", makeRequest(), "info", "ok"],
  ["a refusal", makeRequest({ status: 403, errorCode: "forbidden" }), "warn", "client_error"],
  ["our failure", makeRequest({ status: 503, errorCode: "state_failed" }), "error", "server_error"],
  ["our failure that nobody waited for", makeRequest({ status: 500, aborted: true }), "error", "server_error"],
  ["a client that left", makeRequest({ aborted: true }), "warn", "aborted"],
  ["a task that ran out of time", makeTask({ status: "failed", errorCode: "timeout" }), "warn", "failed"],
  ["a task whose program failed", makeTask({ status: "failed", errorCode: "nonzero" }), "warn", "failed"],
  ["a task that lost its sandbox", makeTask({ status: "failed", errorCode: "lost" }), "error", "failed"],
  ["a task that failed by itself", makeTask({ status: "failed" }), "warn", "failed"],
  ["a task without a plan", makeTask({ status: "failed", errorCode: "no_plan" }), "warn", "failed"],
  ["a lost task", makeTask({ status: "failed", errorCode: "task_lost" }), "error", "failed"],
  ["a code that nobody knows", makeTask({ status: "failed", errorCode: "no_such_code" }), "error", "failed"],
  ["a cancelled task", makeTask({ status: "cancelled" }), "info", "cancelled"],
  ["a program that failed", makeCall({}, { success: false, verdict: "nonzero" }), "warn", "nonzero"],
  ["a call the platform failed", makeCall({}, { success: false, verdict: "platform" }), "error", "platform"],
])("logs - the severity follows from the outcome: %s", async (_title, event, level, outcome) => {
  await using observed = await observe();
  observed.telemetry.record(event);
  expect(observed.lines()).toEqual([expect.objectContaining({ level, outcome })]);
});

test("logs - a level leaves out what is less severe, and nothing makes an error less severe than it is", async () => {
  await using observed = await observe({ logLevel: "error" });
  const disguised = { ...makeRequest({ status: 500 }), level: "debug", severity: "debug", outcome: "ok" };
  observed.telemetry.record(makeRequest());
  observed.telemetry.record(disguised);
  expect(observed.lines()).toEqual([expect.objectContaining({ level: "error", outcome: "server_error" })]);
});

test("logs - a problem has its place, code, message and, when it is a defect, its frames", async () => {
  await using observed = await observe();
  observed.telemetry.problem("sweep", new PaddockError("no_space", "the disk is full"));
  observed.telemetry.problem("timer", new TypeError("x is no function"));
  observed.telemetry.problem("odd", { toString: () => "thrown without a class" });
  const [coded, defect, odd] = observed.lines();
  expect(coded).toMatchObject({ level: "error", op: "server.problem", where: "sweep", error_code: "no_space" });
  expect(coded).not.toHaveProperty("stack");
  expect(defect).toMatchObject({ error_code: "internal", message: "x is no function" });
  expect(defect?.["stack"]).toContain("logs.test.ts");
  expect(odd).toMatchObject({ error_code: "internal", message: "thrown without a class" });
});

test("logs - line breaks, escape sequences and direction marks of a name stay inside their line and act on nothing", async () => {
  await using observed = await observe();
  const principal = 'eve\r\n{"level":"info"}\u001b[2J\u009b31m\u2028\u202e\ud800\u{e0001} zoë 😀';
  observed.telemetry.record(makeRequest({ principal }));
  const [line] = observed.lines();
  expect(observed.text().split("\n")).toHaveLength(2);
  expect(observed.text().trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}]/u);
  expect(line?.["principal"]).toBe(
    'eve\\u000d\\u000a{"level":"info"}\\u001b[2J\\u009b31m\\u2028\\u202e\\ud800\\u{e0001} zoë 😀',
  );
});

test("logs - a text is cut, however long it is", async () => {
  await using observed = await observe();
  observed.telemetry.record(makeRequest({ principal: "p".repeat(1_000_000) }));
  observed.telemetry.problem("long", new Error("very long ".repeat(100_000)));
  expect(observed.text().length).toBeLessThan(4000);
});

test("logs - lines without room are dropped and counted, and the first line with room again says how many", async () => {
  const stream = new PassThrough();
  await using observed = await observe({ logTo: stream });
  for (let i = 0; i < 5000; i++) observed.telemetry.record(makeRequest());
  expect(stream.writableLength).toBeLessThanOrEqual(1024 * 1024);
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  while (stream.writableLength > 0) await new Promise(setImmediate);
  observed.telemetry.record(makeRequest());
  const report = text.split("\n").find((line) => line.includes("log.dropped"));
  const lines = text.split("\n").filter((line) => line.includes("http.request")).length;
  expect(JSON.parse(report ?? "{}")).toMatchObject({ level: "warn", lines: 5001 - lines });
  expect(await observed.telemetry.metrics.text()).toContain(
    `paddock_telemetry_lost_total{kind="log_line"} ${5001 - lines}\n`,
  );
});

test("logs - a stream whose reader left disturbs nothing", async () => {
  const stream = new PassThrough();
  await using observed = await observe({ logTo: stream });
  stream.destroy(new Error("EPIPE"));
  observed.telemetry.record(makeRequest());
  expect(await observed.telemetry.metrics.text()).toContain('paddock_telemetry_lost_total{kind="log_line"} 1\n');
});
