import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { LockFile } from "../../src/lib/lock-file.ts";
import { Benchmark } from "../../src/model/benchmark.ts";
import { workLocally } from "../benchmark/support.ts";
import { StockServer } from "../client/stock-server.ts";
import { CliProcess, runCli } from "../support/cli.ts";
import { openTestApp, testEnv } from "../support/home.ts";

const env = { ...testEnv(), RACTOR_TOKEN: "good-token" };

let app: App;
let folder: string;
beforeAll(async () => {
  app = await openTestApp();
  folder = mkdtempSync(join(tmpdir(), "paddock-bench-"));
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test.each([
  [["--runs", "0"]],
  [["--only", "gpd"]],
  [["--csv", "/nonexistent/a.csv"]],
  [["--compare", "/nonexistent.json"]],
  [["--url", "http://127.0.0.1:1", "--driver", "docker"]],
])("cli bench - agents %j is refused before anything starts", async (args) => {
  const { code, stdout, stderr } = await runCli(["bench", "agents", ...args], { env });
  expect([code, stdout]).toEqual([64, ""]);
  expect(stderr).toMatch(/hint:|--help/);
  expect(stderr).not.toContain("warm-up");
});

test("cli bench - a result of another schema version is refused before anything is measured", async () => {
  const old = join(folder, "old.json");
  writeFileSync(old, JSON.stringify({ schema: 0 }));
  const { code, stderr } = await runCli(["bench", "agents", "--compare", old], { env });
  expect([code, /schema version 0/.test(stderr), stderr.includes("starting a server")]).toEqual([64, true, false]);
});

test("cli bench - where a server runs already, the hint says how to measure that one", async () => {
  const root = mkdtempSync(join(tmpdir(), "paddock-bench-held-"));
  mkdirSync(join(root, "state"));
  const lock = LockFile.tryAcquire(join(root, "state", "server.lock"));
  try {
    expect(lock).toBeInstanceOf(LockFile);
    const { code, stderr } = await runCli(["bench", "agents"], { env: { ...env, PADDOCK_HOME: root } });
    expect(code).not.toBe(0);
    expect(stderr).toContain(`another server (pid ${process.pid})`);
    expect(stderr).toMatch(/hint: .*--url/);
  } finally {
    if (lock instanceof LockFile) lock[Symbol.dispose]();
    rmSync(root, { recursive: true });
  }
});

test("cli bench - text, CSV, JSON and HTML of one run; the next is compared with it", async () => {
  await using server = await StockServer.start({ takeCalls: workLocally(app) });
  const [csv, json, html] = ["csv", "json", "html"].map((name) => join(folder, `run.${name}`)) as [
    string,
    string,
    string,
  ];
  const args = ["bench", "agents", "--url", server.url, "--only", "file", "--runs", "2"];
  const first = await runCli([...args, "--csv", csv, "--json-out", json, "--html", html], { env });
  expect(first.code).toBe(0);
  expect(first.stdout).toMatch(/file +read-text-file +file +2\/2 +100 % +3 +0 +6 +0\n/);
  expect(first.stderr).toMatch(/warm-up: file node\n(?:.*\n)*2\/2 file run \d: read-text-file completed/);
  expect(readFileSync(csv, "utf8").split("\r\n")).toHaveLength(4);
  expect(Benchmark.parse(JSON.parse(readFileSync(json, "utf8"))).samples).toHaveLength(2);
  expect(readFileSync(html, "utf8")).toContain("<h2>Data in transit");
  const second = await runCli([...args, "--json", "--compare", json], { env });
  const { comparison, ...run } = JSON.parse(second.stdout) as {
    comparison: { recipes: unknown[]; differences: string[] };
  };
  expect([second.code, comparison.recipes.length, comparison.differences]).toEqual([0, 1, []]);
  expect(Benchmark.parse(run).samples).toHaveLength(2);
  for (const text of [
    first.stdout,
    first.stderr,
    second.stdout,
    readFileSync(html, "utf8"),
    readFileSync(json, "utf8"),
  ])
    expect(text).not.toContain("good-token");
  expect(server.agents.size).toBe(0);
});

test("cli bench - a failed run ends it with 1 and is listed with code and verdict", async () => {
  await using server = await StockServer.start({
    takeCalls: (_content, row) => workLocally(app)("```bash\nexit 3\n```", row),
  });
  const { code, stdout } = await runCli(["bench", "agents", "--url", server.url, "--only", "file", "--runs", "1"], {
    env,
  });
  expect(code).toBe(1);
  expect(stdout).toMatch(/file +1 +read-text-file +failed +nonzero +nonzero +.*exit code 3/);
});

test("cli bench - without its token the server's refusal is the command's", async () => {
  await using server = await StockServer.start({ takeCalls: workLocally(app) });
  const { code, stderr } = await runCli(["bench", "agents", "--url", server.url, "--token", "bad-token"], { env });
  expect([code, stderr.includes("unauthorized"), stderr.includes("bad-token")]).toEqual([77, true, false]);
});

test("cli bench - Ctrl-C deletes the agents, exits 130 and leaves no files", async () => {
  await using server = await StockServer.start({ takeCalls: () => Promise.reject(new Error("the row never moves")) });
  const json = join(folder, "cancelled.json");
  const args = ["bench", "agents", "--url", server.url, "--only", "file", "--json-out", json];
  const command = new CliProcess(args, { env });
  await expect.poll(() => server.count("POST", /responses$/), { timeout: 15_000 }).toBe(1);
  command.child.kill("SIGINT");
  const { code, stdout } = await command.exited;
  expect([code, stdout, existsSync(json), server.agents.size]).toEqual([130, "", false, 0]);
});

test("cli bench - a server of its own runs real agents, is interrupted without remains, and takes its token back", async () => {
  const home = `/var/tmp/paddock-bench-${randomBytes(4).toString("hex")}`;
  const own = { ...testEnv(), PADDOCK_HOME: home };
  const args = ["bench", "agents", "--only", "file", "--runs", "1", "--json"];
  try {
    const interrupted = new CliProcess(args, { env: own });
    await interrupted.saw("stderr", "warm-up: file node");
    interrupted.child.kill("SIGINT");
    expect(await interrupted.exited).toMatchObject({ code: 130 });
    const { code, stdout, stderr } = await runCli(args, { env: own });
    const run = Benchmark.parse(JSON.parse(stdout));
    expect([code, run.recipes[0]?.success_rate, run.server.own]).toEqual([0, 1, true]);
    expect(run.samples).toMatchObject([{ source: "records", tool_calls: 3, attempts: 3, failure: null }]);
    expect(run.samples[0]?.queue_ms).toBeGreaterThanOrEqual(0);
    using database = new DatabaseSync(join(home, "state", "paddock.db"), { readOnly: true });
    const count = (sql: string): unknown => database.prepare(`SELECT count(*) AS n FROM ${sql}`).get()?.["n"];
    expect([count("agents"), count("tokens"), count("tokens WHERE revoked_at IS NULL")]).toEqual([0, 2, 0]);
    expect(stdout + stderr).not.toMatch(/pdk_/);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
