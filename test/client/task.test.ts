import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "vitest";
import type { ProgressEvent } from "../../src/executor/sinks/task-event.ts";
import type { TaskRequest } from "../../src/model/task.ts";
import { openTestApp } from "../support/home.ts";
import { IS_SOAK } from "../support/soak.ts";
import { StockServer } from "./stock-server.ts";
import { runOn, store, TASKS } from "./support.ts";

const bash = (source: string): TaskRequest => ({ bare: true, node_type: "file", code: { language: "bash", source } });

afterAll(() => {
  expect(store.closeLost()).toEqual([]);
  rmSync(TASKS, { recursive: true, force: true });
});

test("client task - every kind of tool gives the record and value that it gives locally", async () => {
  await using server = await StockServer.start();
  const result = await runOn(server, {
    bare: true,
    node_type: "python",
    files: { "in.txt": "given\n" },
    env: { GREETING: "a 'b' $c; \"d\"" },
    tool_calls: [
      { tool: "run_python", input: { code: "import os\nprint(open('in.txt').read(), os.environ['GREETING'])\n6*7" } },
      { tool: "run_command", input: { command: "cat; echo err >&2; exit 3", stdin: "in" }, continue_on_failure: true },
      { tool: "write_file", input: { path: "a/b.csv", content: "n,m\n1,2\n" } },
      { tool: "read_file", input: { path: "a/b.csv" } },
      { tool: "read_csv", input: { path: "a/b.csv", types: true } },
      { tool: "list_files", input: { depth: 2 } },
      { tool: "delete_file", input: { path: "a", recursive: true } },
      { tool: "run_javascript", input: { code: "console.log(1 + 1)" } },
      { tool: "read_file", input: { path: "a/b.csv" }, continue_on_failure: true },
      { tool: "run_command", input: { command: "kill -9 $$" } },
    ],
  });
  const [python, command, write, , , , remove, javascript, missing, killed] = result.tool_calls;
  expect(python).toMatchObject({ success: true, return_code: 0, stdout: { text: "given\n a 'b' $c; \"d\"\n" } });
  expect(command).toMatchObject({
    verdict: "nonzero",
    return_code: 3,
    stdout: { text: "in" },
    stderr: { text: "err\n" },
  });
  expect(write?.files_created.map(({ path }) => path)).toEqual(["a", "a/b.csv"]);
  expect(remove?.files_deleted.map(({ path }) => path)).toEqual(["a", "a/b.csv"]);
  expect(javascript).toMatchObject({ success: true, stdout: { text: "2\n" } });
  expect(missing).toMatchObject({ verdict: "nonzero", error: { code: "not_found" } });
  expect(killed).toMatchObject({ verdict: "nonzero", signal: "KILL" });
  expect(killed).not.toHaveProperty("return_code");
  const values = result.values.map(({ value }) => value);
  expect(values[0]).toBe("42");
  expect(values[3]).toMatchObject({ content: "n,m\n1,2\n", bytes: 8, truncated: false });
  expect(values[4]).toEqual({ columns: ["n", "m"], rows: [[1, 2]], truncated: false });
  expect((values[5] as { entries: { path: string }[] }).entries.map(({ path }) => path)).toEqual([
    "a",
    "in.txt",
    "a/b.csv",
  ]);
  expect(result).toMatchObject({
    status: "failed",
    error: { code: "nonzero", message: expect.stringContaining("signal KILL") as string },
  });
  expect(server.agents.size).toBe(0);
});

test("client task - a record says what was measured on the wire and what nobody knows", async () => {
  await using server = await StockServer.start({ busy: 2 });
  const result = await runOn(server, bash("sleep 0.05; echo hi"));
  const [record] = result.tool_calls;
  const remote = record?.remote;
  expect(record?.isolation).toMatchObject({ driver: "ractor", seccomp: "unknown", limits: { mode: "unknown" } });
  expect(remote).toMatchObject({
    source: "runner",
    backoff_ms: [expect.any(Number), expect.any(Number)],
    url: `${server.url}/api/v0`,
  });
  expect(remote?.unknown).toContain("egress");
  expect(remote?.not_enforced).toContain("network");
  expect(remote?.response_ids).toHaveLength(1);
  expect(remote?.run_ms).toBeGreaterThanOrEqual(50);
  expect(record).not.toHaveProperty("cpu_user_ms");
  expect(record).not.toHaveProperty("max_rss_bytes");
  const sum = (field: "sent_bytes" | "received_bytes") =>
    remote?.requests.reduce((total, one) => total + one[field], 0);
  expect([remote?.sent_bytes, remote?.received_bytes]).toEqual([sum("sent_bytes"), sum("received_bytes")]);
  expect([record?.request_bytes, record?.response_bytes]).toEqual([remote?.sent_bytes, remote?.received_bytes]);
  expect(record?.network_ms).toBeCloseTo(
    (remote?.connect_ms ?? 0) + (remote?.wait_ms ?? 0) + (remote?.transfer_ms ?? 0),
    1,
  );
  const phases = Object.values(record?.phases_ms ?? {}).reduce((total, ms) => total + ms, 0);
  expect(record?.execution_time_ms).toBeCloseTo(phases, 1);
});

test("client task - without the runner's file the segments serve; null for an exit code is not taken for 0", async () => {
  await using server = await StockServer.start({ hideResults: true });
  const result = await runOn(server, bash("echo out; exit 0"));
  expect(result.tool_calls[0]).toMatchObject({
    success: true,
    return_code: 0,
    stdout: { text: "out\n" },
    files_unknown: true,
    remote: { source: "segments" },
  });
  const ended = await runOn(server, bash("kill -9 $$"));
  expect(ended.tool_calls[0]).toMatchObject({ success: false, verdict: "lost", error: { code: "remote_failed" } });
  expect(ended.tool_calls[0]).not.toHaveProperty("return_code");
  server.quirks.exitCode = () => 5;
  expect((await runOn(server, bash("exit 0"))).tool_calls[0]).not.toHaveProperty("return_code");
});

test("client task - without any trace of a call it is lost, and was run once however often it was asked for", async () => {
  await using server = await StockServer.start({ hideResults: true, hideMark: true, delete: ["cut"] });
  let counted = "";
  const result = await runOn(
    server,
    bash("echo once >> count"),
    {},
    {
      watcher: {
        call: () => {
          const [agent] = server.agents.values();
          if (agent) counted = readFileSync(`${agent.container.folder}/workspace/count`, "utf8");
        },
      },
    },
  );
  expect(result.tool_calls[0]).toMatchObject({
    verdict: "lost",
    error: { code: "remote_failed" },
    remote: { source: "none" },
  });
  expect(result.tool_calls[0]?.remote?.response_ids).toHaveLength(3);
  expect(counted).toBe("once\n");
});

test("client task - a model that does something else is asked again, up to three times", async () => {
  await using server = await StockServer.start({ ignore: 2 });
  const result = await runOn(server, bash("echo done"));
  expect(result.tool_calls[0]).toMatchObject({
    success: true,
    stdout: { text: "done\n" },
    attempts: [{ verdict: "ok" }],
  });
  server.quirks.ignore = 3;
  expect((await runOn(server, bash("echo done"))).error).toMatchObject({ code: "remote_failed" });
});

test("client task - an answer to the creation that is cut makes no second agent", async () => {
  await using server = await StockServer.start({ create: ["cut"], post: ["cut"] });
  expect((await runOn(server, bash("true"))).status).toBe("completed");
  expect(server.count("POST", /^\/agents$/)).toBe(1);
  expect(server.count("POST", /responses$/)).toBe(1);
  expect(server.agents.size).toBe(0);
});

test("client task - setup code that the server skipped is run by request", async () => {
  await using server = await StockServer.start({ skipSetup: true });
  expect((await runOn(server, bash("echo ready"))).tool_calls[0]).toMatchObject({ stdout: { text: "ready\n" } });
});

test("client task - setup code that leaves no readiness file however it is run fails the task", async () => {
  await using server = await StockServer.start({ skipSetup: true, ignore: 3 });
  const result = await runOn(server, bash("true"));
  expect(result).toMatchObject({ status: "failed", error: { code: "setup_failed" }, tool_calls: [] });
  expect(server.count("POST", /responses$/)).toBe(3);
  expect(server.agents.size).toBe(0);
});

test("client task - the failed step of setup code is named", async () => {
  await using server = await StockServer.start({ breakEnvironment: true });
  const result = await runOn(server, { node_type: "python", code: { language: "python", source: "1" } });
  expect(result.error).toMatchObject({
    code: "setup_failed",
    message: expect.stringMatching(/^step .+ failed/) as string,
  });
});

test("client task - an agent that fell asleep is woken", async () => {
  await using server = await StockServer.start({ asleep: true });
  expect((await runOn(server, bash("echo awake"))).status).toBe("completed");
  expect(server.count("POST", /wake$/)).toBe(1);
});

test("client task - setup code that does not end in time fails the task and leaves no agent", async () => {
  await using server = await StockServer.start({ skipSetup: true, stuck: true });
  const result = await runOn(server, bash("true"), { setupTimeoutMs: 400 });
  expect(result).toMatchObject({ status: "failed", tool_calls: [], error: { code: "timeout" } });
  expect(server.agents.size).toBe(0);
});

test("client task - the call's own time ends it on the server; the task's ends it here", async () => {
  await using server = await StockServer.start();
  const result = await runOn(server, { ...bash("sleep 30"), limits: { call_timeout_ms: 200 } });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "timeout", remote: { source: "runner" } });
  server.quirks.stuck = true;
  const stuck = await runOn(server, { ...bash("true"), limits: { task_timeout_ms: 300 } });
  expect(stuck).toMatchObject({ status: "failed", error: { code: "timeout" } });
  expect(stuck.tool_calls[0]).toMatchObject({ verdict: "timeout" });
  expect(server.agents.size).toBe(0);
});

test("client task - a row that never moves is failed after the caller's time", async () => {
  await using server = await StockServer.start({ stuck: true });
  const result = await runOn(server, { ...bash("true"), limits: { call_timeout_ms: 100 } }, { overheadMs: 100 });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "timeout" });
  expect(server.count("POST", /cancel$/)).toBeGreaterThan(0);
});

test("client task - an abort while the agent is made leaves none: the request is not abandoned, its agent is deleted", async () => {
  await using server = await StockServer.start({ lateAgentMs: 200 });
  const controller = new AbortController();
  const ended = runOn(server, bash("echo hi"), {}, { signal: controller.signal });
  await expect.poll(() => server.count("POST", /^\/agents$/)).toBe(1);
  controller.abort();
  expect(await ended).toMatchObject({ status: "cancelled", tool_calls: [] });
  expect([server.deleted.length, server.agents.size]).toEqual([1, 0]);
});

test("client task - an abort cancels the work and deletes the agent", async () => {
  await using server = await StockServer.start({ stuck: true });
  const controller = new AbortController();
  const result = await runOn(
    server,
    bash("true"),
    {},
    {
      signal: controller.signal,
      watcher: {
        event: (event) => {
          if (event.type === "call_started") setTimeout(() => controller.abort(), 20);
        },
      },
    },
  );
  expect(result).toMatchObject({ status: "cancelled", error: { code: "cancelled" } });
  expect(server.count("POST", /cancel$/)).toBeGreaterThan(0);
  expect(server.agents.size).toBe(0);
});

test("client task - a token that is refused is unauthorized and stands nowhere", async () => {
  await using server = await StockServer.start();
  const messages: string[] = [];
  const event = (told: ProgressEvent) => void (told.type === "progress" && messages.push(told.message));
  const result = await runOn(server, bash("true"), { token: "bad-token-123" }, { watcher: { event } });
  expect(result).toMatchObject({ status: "failed", error: { code: "unauthorized" } });
  // Nothing was made, so there is nothing to delete.
  expect(messages).toEqual([expect.stringMatching(/^creating agent /)]);
  expect(server.count("DELETE", /./)).toBe(0);
  expect(JSON.stringify([result, store.read(result.task_id)])).not.toContain("bad-token-123");
  const good = await runOn(server, bash("env"), { operator: { name: "admin", password: "secret-pass" } });
  expect([good.error, good.status]).toEqual([undefined, "completed"]);
  expect(JSON.stringify([good, store.read(good.task_id)])).not.toMatch(/good-token|secret-pass|container-token/);
});

test("client task - what a foreign server cannot do is unsupported, and said before it could fail half way", async () => {
  await using server = await StockServer.start();
  const calls = [
    { tool: "s3_get", input: { key: "x", path: "y" } },
    { tool: "run_python", input: { code: "1", context: "notebook" } },
  ];
  for (const call of calls)
    expect((await runOn(server, { bare: true, tool_calls: [call] })).error).toMatchObject({ code: "unsupported" });
  const noise = Array.from({ length: 200_000 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join(
    "",
  );
  const large = await runOn(server, { ...bash("true"), files: { large: noise } });
  expect(large.error).toMatchObject({ code: "unsupported", message: expect.stringContaining("setup code") as string });
  const outside = await runOn(server, { ...bash("true"), files: { "../x": "" } });
  expect(outside.error).toMatchObject({ code: "path_refused" });
});

test("client task - a server that announces explicit work gets the calls and its own records are kept", async () => {
  await using app = await openTestApp();
  await using server = await StockServer.start({
    takeCalls: async (calls) => {
      const done = await app.executor.runTask({ tool_calls: calls as never, node_type: "file", bare: true });
      return done.tool_calls.map((record, index) => ({
        type: "tool_result",
        tool: record.operation,
        output: {},
        record,
        value: done.values[index]?.value,
      }));
    },
  });
  const result = await runOn(server, {
    bare: true,
    node_type: "file",
    files: { given: "text" },
    tool_calls: [{ tool: "run_command", input: { command: "echo own; exit 4" } }],
  });
  expect(result).toMatchObject({
    status: "failed",
    exit_code: 4,
    tool_calls: [{ return_code: 4, stdout: { text: "own\n" }, remote: { source: "server" } }],
  });
  expect(result.tool_calls[0]?.isolation?.driver).toBe("bubblewrap");
  expect(server.agents.size).toBe(0);
});

const GDP =
  "Country Name,Country Code,Year,Value\nAland,ALA,2001,1.5\nAland,ALA,2002,2.5\nBland,BLA,2001,\nBland,BLA,2002,8\nCland,CLA,2002,4\n";

test.runIf(IS_SOAK)(
  "client task - the recipes of a chain run on the server with its packages, as they do locally",
  {
    timeout: 280_000,
  },
  async () => {
    const data = createServer((_request, response) => response.end(GDP));
    await new Promise<void>((resolve) => data.listen(0, "127.0.0.1", resolve));
    await using server = await StockServer.start();
    try {
      const url = `http://127.0.0.1:${(data.address() as AddressInfo).port}/gdp.csv`;
      const result = await runOn(
        server,
        {
          recipes: [
            { name: "download-clean-csv", parameters: { url } },
            { name: "average-by-group" },
            { name: "top-by-maximum" },
            { name: "build-dataframe" },
          ],
        },
        { setupTimeoutMs: 240_000 },
      );
      expect([result.error, result.status]).toEqual([undefined, "completed"]);
      expect(result.tool_calls.every(({ return_code }) => return_code === 0)).toBe(true);
      const made = result.tool_calls.flatMap((record) => record.files_created.map(({ path }) => path));
      expect(made).toEqual(
        expect.arrayContaining(["gdp.csv", "clean.csv", "averages.csv", "top5.csv", "coffee_data.csv"]),
      );
    } finally {
      data.close();
    }
  },
);

test.runIf(IS_SOAK)(
  "client task - the express recipes run on the server: packages, a server in the background, requests from inside",
  {
    timeout: 280_000,
  },
  async () => {
    await using server = await StockServer.start();
    const recipes = [
      { name: "express-hello", parameters: { port: 39_211 } },
      { name: "express-add-post", parameters: { port: 39_211 } },
    ];
    const result = await runOn(server, { recipes, bare: true }, { setupTimeoutMs: 240_000 });
    expect([result.error, result.status]).toEqual([undefined, "completed"]);
    const installed = result.tool_calls.flatMap((record) => record.dependencies_installed.map(({ name }) => name));
    expect(installed).toContain("express");
  },
);
