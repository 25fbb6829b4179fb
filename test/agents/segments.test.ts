import { afterAll, beforeAll, expect, test } from "vitest";
import { readWork } from "../../src/agents/run/compile-input.ts";
import type { App } from "../../src/app.ts";
import { PaddockError } from "../../src/errors/error.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import { joinSinks } from "../../src/executor/sinks/task-sink.ts";
import type { Lease } from "../../src/fleet/leases/lease.ts";
import type { ResponseRow, Segment } from "../../src/model/response.ts";
import { openTestApp } from "../support/home.ts";
import { Responses } from "./responses.ts";
import { leaseAgent } from "./sandboxes.ts";

let app: App;
let lease: Lease;
let responses: Responses;

beforeAll(async () => {
  app = await openTestApp();
  lease = await leaseAgent(app);
  responses = await Responses.open();
});

afterAll(async () => {
  await responses[Symbol.asyncDispose]();
  await lease.close();
  await app[Symbol.asyncDispose]();
});

async function run(...content: unknown[]): Promise<{ row: ResponseRow; segments: readonly Segment[] }> {
  await responses.post({ content });
  const row = await responses.run(app, lease);
  return { row, segments: await responses.store.listSegments(row.id, 0) };
}

const textOf = (row: ResponseRow): string => String(row.outputContent?.find(({ type }) => type === "text")?.content);

test("segments - each call is a pair in the order it ran, with input, result and record; text and metrics come last", async () => {
  const { row, segments } = await run(
    {
      type: "tool_calls",
      content: [{ tool: "write_file", input: { path: "a.txt", content: "hello" }, title: "Write it" }],
    },
    { type: "bash", content: "cat a.txt; echo oh >&2" },
    { type: "python", content: "6 * 7" },
  );
  expect(row.status).toBe("completed");
  expect(segments.map(({ type, tool }) => [type, tool])).toEqual([
    ["tool_call", "write_file"],
    ["tool_result", "write_file"],
    ["tool_call", "run_command"],
    ["tool_result", "run_command"],
    ["tool_call", "run_python"],
    ["tool_result", "run_python"],
    ["commentary", undefined],
  ]);
  const [call, , , bash, , python, last] = segments;
  expect(call).toMatchObject({ args: { commentary: "Write it", path: "a.txt", content: "hello" } });
  expect(call?.["id"]).toMatch(/^call_/);
  expect(segments[1]?.["id"]).toBe(call?.["id"]);
  expect(String(call?.["at"])).toMatch(/^\d{4}-.*\.\d{3}\+00:00$/);
  expect(bash).toMatchObject({
    exit_code: 0,
    output: { status: "ok", tool: "run_command", exit_code: 0, stdout: "hello", stderr: "oh\n", truncated: false },
    record: { operation: "run_command", success: true, verdict: "ok", return_code: 0 },
  });
  expect(bash?.["duration_ms"]).toBeGreaterThan(0);
  expect(python).toMatchObject({ value: "42" });
  expect(last).toMatchObject({ type: "commentary", channel: "analysis" });
  expect(last?.["text"]).toContain("hello");
  expect(row.outputContent?.map(({ type, title }) => [type, title])).toEqual([
    ["text", "Result"],
    ["json", "metrics"],
  ]);
  expect(row.outputContent?.at(-1)?.content).toMatchObject({ tool_calls: 3, success: { succeeded: 3, failed: 0 } });
  expect(textOf(row)).toContain("42");
});

test("segments - the text of a single call is what it printed, and nothing else", async () => {
  const { row, segments } = await run({ type: "python", content: "print('one'); print('```')" });
  expect(textOf(row)).toBe("one\n```\n");
  expect(segments.at(-1)?.["text"]).toBe("## Result\n\n````\none\n```\n````\n");
  expect(textOf((await run({ type: "bash", content: "true", title: "Nothing" })).row)).toBe(
    "Nothing: done, without output",
  );
});

test("segments - a failure carries exit code, message, code, hint and the last lines of stderr", async () => {
  const { row, segments } = await run(
    { type: "bash", content: "echo begun; seq 100 >&2; exit 3" },
    { type: "bash", content: "echo never" },
  );
  expect(row.status).toBe("failed");
  expect(segments.map(({ type }) => type)).toEqual(["tool_call", "tool_result", "commentary"]);
  expect(segments[1]).toMatchObject({
    exit_code: 3,
    output: { status: "error", exit_code: 3, stdout: "begun\n", error: "exit code 3" },
    record: { success: false, verdict: "nonzero", return_code: 3 },
  });
  expect(textOf(row)).toMatch(
    /^failed: run_command ended with exit code 3 \(nonzero\)\nHint: .*\n\nLast lines of stderr:\n81\n82/,
  );
  expect(row.outputContent?.at(-1)).toMatchObject({ title: "metrics", content: { success: { failed: 1 } } });
});

test("segments - an unknown exit code is absent, never 0 or null", async () => {
  const { segments } = await run({
    type: "tool_calls",
    content: [{ tool: "run_command", input: { command: "kill -9 $$" } }],
  });
  const result = segments[1];
  expect(result?.["output"]).toMatchObject({ status: "error", error: "ended by signal KILL" });
  expect(Object.hasOwn(result?.["output"] as object, "exit_code")).toBe(false);
  expect(Object.hasOwn(result ?? {}, "exit_code")).toBe(false);
});

test("segments - long output is shown in part, whole in the record, and once", async () => {
  const { segments } = await run({ type: "python", content: "print('ä' * 50_000, end='')" });
  const { output, record } = segments[1] as unknown as {
    output: { stdout: string; truncated: boolean };
    record: { stdout: { text: string } };
  };
  expect(record.stdout.text).toBe("ä".repeat(50_000));
  expect(output.truncated).toBe(true);
  expect(output.stdout.length).toBeLessThan(8400);
  expect(output.stdout).toMatch(/^ä{4096}\n\[\.\.\. 83616 bytes left out \.\.\.\]\nä{4096}$/);
});

test("segments - long arguments are not stored twice", async () => {
  const { segments } = await run({ type: "python", content: `# ${"x".repeat(200_000)}\nprint("done")` });
  expect(JSON.stringify(segments[0]).length).toBeLessThan(40_000);
  expect(segments[1]).toMatchObject({ output: { stdout: "done\n" } });
});

test("segments - a claim that is over stops the task: nothing is written after the end that stands", async () => {
  await responses.post({
    content: [
      { type: "bash", content: "echo one" },
      { type: "bash", content: "echo two" },
    ],
  });
  const claim = await responses.claim();
  const writer = responses.makeWriter(claim);
  const cancelled: Segment = { type: "cancelled", reason: "user_cancel" };
  const { task, plan } = readWork(claim.row.input, responses.agent.settings);
  const result = await app.executor.runPlanned(
    { taskId: claim.row.taskId, task, plan },
    {
      place: makeLeasePlace(lease),
      sink: joinSinks(
        {
          output: async () => {
            await responses.store.endResponse(claim.row.id, { status: "cancelled", segments: [cancelled] });
          },
        },
        writer,
      ),
    },
  );
  expect(result.error?.code).toBe("fenced");
  expect(result.tool_calls).toHaveLength(1);
  await writer.finish(result);
  const { row, segments = [] } = (await responses.store.getResponse(claim.row.id)) ?? {};
  expect(row?.status).toBe("cancelled");
  expect(segments.map(({ type }) => type)).toEqual(["tool_call", "cancelled"]);
});

test("segments - a call that the platform could not end has a result that says so", async () => {
  await responses.post({ content: [] });
  const claim = await responses.claim();
  const writer = responses.makeWriter(claim);
  writer.event({
    type: "call_started",
    callId: "call_x" as never,
    tool: "run_python",
    title: "Run",
    index: 0,
    input: { code: "1" },
  });
  const end = await writer.finish(new PaddockError("sandbox_lost", "the sandbox is gone"));
  expect(end.segments[0]).toMatchObject({
    type: "tool_result",
    tool: "run_python",
    id: "call_x",
    output: { status: "error", error: "the sandbox is gone" },
  });
  expect(end.outputContent[0]?.content).toContain("the sandbox is gone (sandbox_lost)");
  await responses.store.endResponse(claim.row.id, { status: "failed" });
});

test("segments - values, rich outputs and exceptions stand beside the record; what is too large is named instead", async () => {
  const rich = "class R:\n  def _repr_html_(self): return '<b>x</b>'\n  def __repr__(self): return 'R'\nR()";
  const { segments } = await run({ type: "python", content: rich });
  const [, shown] = segments;
  expect(shown).toMatchObject({
    value: "R",
    rich: [{ mime: "text/html", base64: Buffer.from("<b>x</b>").toString("base64") }],
  });
  const { segments: failed } = await run({ type: "python", content: "1 / 0" });
  expect(failed[1]).toMatchObject({
    guest_error: { name: "ZeroDivisionError" },
    output: { status: "error", exit_code: 1 },
  });
  const large = rich.replace("'<b>x</b>'", "'y' * 4_000_000");
  const { segments: cut } = await run({ type: "python", content: large });
  expect(cut[1]).toMatchObject({ value: "R", left_out: ["rich"] });
  expect(JSON.stringify(cut).length).toBeLessThan(20_000);
});
