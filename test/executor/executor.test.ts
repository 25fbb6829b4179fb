import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { PaddockError } from "../../src/errors/error.ts";
import type { RunTaskOptions } from "../../src/executor/executor.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { TaskInput } from "../../src/model/task.ts";
import { openTestApp } from "../support/home.ts";
import { expectCleanHost, listLeftovers } from "../support/host-state.ts";

let app: App;
let server: Server;
let port = 0;
let answers: (number | "hang")[] = [];
let before: string[];

beforeAll(async () => {
  server = createServer((_request, response) => {
    const status = answers.shift() ?? 200;
    if (status === "hang") setTimeout(() => response.end("late"), 300);
    else response.writeHead(status).end("x".repeat(1000));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
  app = await openTestApp({ trustedUpstreams: [{ name: "up.paddock.test", port, address: "127.0.0.1" }] });
  await app.fleet.start();
  before = listLeftovers();
});

beforeEach(() => {
  answers = [];
});

afterAll(async () => {
  server.close();
  await app[Symbol.asyncDispose]();
  await expectCleanHost(before);
});

async function run(task: unknown, options: RunTaskOptions = {}): Promise<TaskResult> {
  return await app.executor.runTask(TaskInput.parse({ node_type: "file", bare: true, ...(task as object) }), options);
}

const request = (fields: object = {}) => ({
  network: `up.paddock.test:${port}`,
  tool_calls: [{ tool: "http_request", input: { method: "GET", url: `http://up.paddock.test:${port}/`, ...fields } }],
});

test("executor - an idempotent call is tried again for a passing cause, and every attempt is recorded", async () => {
  answers = [503, 503, 200];
  const [record] = (await run(request())).tool_calls;
  expect(record).toMatchObject({ verdict: "ok", retry_count: 2, return_code: 0 });
  expect(record?.attempts.map((attempt) => attempt.verdict)).toEqual(["nonzero", "nonzero", "ok"]);
  expect(record?.egress).toMatchObject([{ host: "up.paddock.test", verdict: "allowed", connections: 3 }]);
});

test("executor - a call that is not idempotent, or a cause that does not pass, is tried once", async () => {
  answers = [503, 200];
  expect((await run(request({ method: "POST", body: "x" }))).tool_calls[0]).toMatchObject({
    verdict: "nonzero",
    retry_count: 0,
  });
  answers = [404, 200];
  expect((await run(request())).tool_calls[0]).toMatchObject({ verdict: "nonzero", retry_count: 0, return_code: 22 });
});

test("executor - waiting for an upstream is network time, the rest of the run is not", async () => {
  answers = ["hang"];
  const [record] = (await run(request())).tool_calls;
  expect(record?.network_ms).toBeGreaterThan(290);
  expect(record?.network_ms).toBeLessThan(record?.phases_ms.run ?? 0);
  expect((record?.network_ms ?? 0) + (record?.compute_ms ?? 0)).toBeCloseTo(record?.phases_ms.run ?? 0, 1);
});

test("executor - the first failure ends the task unless the call says otherwise", async () => {
  const fail = { tool: "run_command", input: { command: "exit 3" } };
  const echo = { tool: "run_command", input: { command: "echo on" } };
  const stopped = await run({ tool_calls: [fail, echo] });
  expect(stopped).toMatchObject({ status: "failed", exit_code: 3, error: { code: "nonzero" } });
  expect(stopped.tool_calls).toHaveLength(1);
  const went = await run({ tool_calls: [{ ...fail, continue_on_failure: true }, echo] });
  expect(went.status).toBe("completed");
  expect(went.tool_calls[1]?.stdout.text).toBe("on\n");
  expect(went.metrics.success).toMatchObject({ succeeded: 1, failed: 1, rate: 0.5 });
});

test("executor - the task's own deadline ends the running call as a time-out", async () => {
  const result = await run({
    tool_calls: [{ tool: "run_command", input: { command: "echo begun; sleep 30" } }],
    limits: { task_timeout_ms: 1200 },
  });
  expect(result).toMatchObject({ status: "failed", error: { code: "timeout" } });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "timeout", stdout: { text: "begun\n" } });
});

test("executor - a cancel keeps the partial output and ends as cancelled", async () => {
  const caller = new AbortController();
  const result = await run(
    { tool_calls: [{ tool: "run_command", input: { command: "echo begun; sleep 30" } }] },
    { signal: caller.signal, watcher: { output: () => caller.abort() } },
  );
  expect(result).toMatchObject({ status: "cancelled", error: { code: "cancelled" } });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "cancelled", stdout: { text: "begun\n" } });
});

test("executor - the journal has the synced intent without contents, every call and one end", async () => {
  const secret = "s3cret-value";
  const result = await run({
    env: { TOKEN: secret },
    files: { "a.txt": secret },
    tool_calls: [{ tool: "run_command", input: { command: "wc -c < a.txt" } }],
  });
  const lines = app.store.read(result.task_id);
  expect(lines.map((line) => line.line)).toEqual(["intent", "call", "end"]);
  expect(JSON.stringify(lines)).not.toContain(secret);
});

test("executor - bad input is refused before anything runs", async () => {
  await expect(run({ tool_calls: [{ tool: "run_command", input: { comand: "x" } }] })).rejects.toMatchObject({
    code: "invalid_request",
  });
  await expect(run({ description: "please be nice" })).rejects.toMatchObject({ code: "no_plan" });
  await expect(run({ network: "not a host!", description: "```bash\ntrue\n```" })).resolves.toMatchObject({
    status: "failed",
    error: { code: "invalid_policy" },
  });
});

test("executor - what a background process writes later does not end with its call, and marks others as shared", async () => {
  const result = await run({
    tool_calls: [
      { tool: "run_command", input: { command: "while true; do date > tick; sleep 0.05; done", background: true } },
      { tool: "run_command", input: { command: "while [ ! -s tick ]; do sleep 0.01; done; echo seen" } },
    ],
  });
  expect(result.tool_calls[1]).toMatchObject({ verdict: "ok", attribution: "shared", stdout: { text: "seen\n" } });
});

test("executor - a sandbox that ends between two calls is named as what failed, not the call that succeeded", async () => {
  const lease = await app.fleet.lease({
    nodeType: "file",
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare: true,
    signal: AbortSignal.timeout(60_000),
    onProgress: () => undefined,
  });
  const end = async (): Promise<void> => {
    await lease.sandbox.kill(new PaddockError("sandbox_lost", "ended by the test"));
  };
  const calls = ["true", "echo never"].map((command) => ({ tool: "run_command", input: { command } }));
  const task = TaskInput.parse({ node_type: "file", bare: true, tool_calls: calls });
  const result = await app.executor.runTask(task, { place: makeLeasePlace(lease), watcher: { call: end } });
  expect([result.status, result.tool_calls.map(({ verdict }) => verdict)]).toEqual(["failed", ["ok"]]);
  expect(result.error).toMatchObject({
    code: "sandbox_lost",
    message: "the sandbox ended after run_command; what follows did not run",
  });
  await lease[Symbol.asyncDispose]();
});
