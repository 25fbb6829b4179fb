import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { DATA_NAME, type DataServer, serveData } from "../../src/benchmark/data-server.ts";
import { type BenchmarkOptions, runBenchmark } from "../../src/benchmark/run.ts";
import { makeChains } from "../../src/benchmark/workload.ts";
import { PaddockError } from "../../src/errors/error.ts";
import { Benchmark } from "../../src/model/benchmark.ts";
import { type Quirks, StockServer } from "../client/stock-server.ts";
import { QUICK } from "../client/support.ts";
import { openTestApp } from "../support/home.ts";
import { workLocally } from "./support.ts";

let app: App;
let data: DataServer;
beforeAll(async () => {
  data = await serveData();
  app = await openTestApp({ trustedUpstreams: [{ name: DATA_NAME, port: data.port, address: "127.0.0.1" }] });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await data[Symbol.asyncDispose]();
});

/** At the wire a server of ours; each task really runs, on a bare node. */
const startServer = async (quirks: Quirks = {}): Promise<StockServer> =>
  await StockServer.start({ takeCalls: workLocally(app), ...quirks });

const measure = async (
  server: StockServer,
  only: readonly string[],
  options: Partial<BenchmarkOptions> = {},
): Promise<Benchmark> =>
  await runBenchmark({
    url: server.url,
    token: "good-token",
    own: false,
    chains: makeChains(only, data.url),
    data: "built in",
    runs: 1,
    concurrency: 1,
    keepAgents: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    times: QUICK,
    ...options,
  });

test("benchmark run - file and web tasks give the four metrics of the server's own records", async () => {
  await using server = await startServer();
  const progress: string[] = [];
  const run = await measure(server, ["file", "web"], {
    runs: 2,
    concurrency: 2,
    onProgress: (text) => progress.push(text),
  });
  expect(Benchmark.parse(JSON.parse(JSON.stringify(run)))).toEqual(run);
  const [file, web] = run.recipes;
  expect(file).toMatchObject({
    recipe: "read-text-file",
    runs: 2,
    completed: 2,
    tool_calls: 3,
    attempts: 6,
    retries: 0,
  });
  expect(file?.latency_ms.network).toEqual({ n: 2, p50: 0, p95: 0, mean: 0 });
  expect(file?.transit_bytes).toMatchObject({ egress_tx: 0, egress_rx: 0 });
  expect(web).toMatchObject({ recipe: "download-csv", completed: 2, tool_calls: 2, success_rate: 1 });
  expect(web?.latency_ms.network?.p50).toBeGreaterThan(0);
  expect(web?.latency_ms.compute?.p50).toBeGreaterThan(0);
  expect(web?.latency_ms.queue).toEqual({ n: 2, p50: 250, p95: 250, mean: 250 });
  expect(web?.transit_bytes.egress_rx).toBeGreaterThan(490_000);
  expect(run.samples.map(({ chain, run: number }) => `${chain} ${number}`)).toEqual([
    "file 1",
    "file 2",
    "web 1",
    "web 2",
  ]);
  for (const { total_ms, network_ms, compute_ms, other_ms } of run.samples)
    expect((network_ms ?? 0) + (compute_ms ?? 0) + (other_ms ?? 0)).toBeCloseTo(total_ms ?? 0, 1);
  expect(progress.filter((text) => /^[1-4]\/4 (file|web) run [12]: [\w-]+ completed, \d+ ms$/.test(text))).toHaveLength(
    4,
  );
  expect([server.agents.size, run.machine.load.length, run.settings.data]).toEqual([0, 2, "built in"]);
});

test("benchmark run - every run has an agent and a connection of its own, one per node type warms up", async () => {
  await using server = await startServer();
  const run = await measure(server, ["file"], { runs: 3, concurrency: 3 });
  const created = server.seen.filter(({ method, path }) => method === "POST" && path === "/agents");
  expect(created.map(({ body }) => (body["metadata"] as { node_type: string }).node_type)).toEqual(
    Array(4).fill("file"),
  );
  expect(new Set(created.map(({ body }) => body["name"])).size).toBe(4);
  expect(run.agents.map(({ run: number, ready_ms }) => [number, ready_ms > 0])).toEqual([
    [1, true],
    [2, true],
    [3, true],
  ]);
  for (const { http_sent_bytes } of run.samples) expect(http_sent_bytes).toBe(run.samples[0]?.http_sent_bytes);
});

test("benchmark run - a failed task is a result with code and verdict; what follows in its chain did not run", async () => {
  await using server = await startServer({
    takeCalls: (content, row) => {
      if (typeof content === "string" && content.includes("ready")) return Promise.resolve([]);
      const exits = { description: "```bash\nexit 3\n```" };
      return workLocally(app)(exits.description, row);
    },
  });
  const run = await measure(server, ["gdp"], { runs: 2 });
  expect(run.samples.map(({ recipe, status, failure }) => [recipe, status, failure?.code, failure?.verdict])).toEqual(
    [1, 2].flatMap(() => [
      ["download-clean-csv", "failed", "nonzero", "nonzero"],
      ["average-by-group", "not_run", "not_run", null],
      ["top-by-maximum", "not_run", "not_run", null],
    ]),
  );
  expect(run.recipes.map(({ completed, runs, latency_ms }) => [completed, runs, latency_ms.total])).toEqual(
    Array(3).fill([0, 2, null]),
  );
  expect(server.agents.size).toBe(0);
});

test("benchmark run - a server that breaks off fails the task with the client's code, and the next run goes on", async () => {
  await using server = await startServer();
  let posts = 0;
  server.quirks.takeCalls = async (content, row) => {
    if (++posts === 2) throw new Error("the row never moves again");
    return await workLocally(app)(content, row);
  };
  const run = await measure(server, ["file"], { runs: 2, stallMs: 300 });
  expect(run.samples.map(({ status, failure }) => [status, failure?.code])).toEqual([
    ["failed", "timeout"],
    ["completed", undefined],
  ]);
  expect(server.agents.size).toBe(0);
});

test("benchmark run - an agent that cannot be made fails its chain's tasks, as not run", async () => {
  await using server = await startServer();
  let made = 0;
  const add = server.agents.set.bind(server.agents);
  server.agents.set = (name, agent) => {
    if (++made === 2) throw new Error("no space");
    return add(name, agent);
  };
  const run = await measure(server, ["file"], { runs: 2 });
  expect(run.samples.map(({ status, agent, failure }) => [status, agent === null, failure?.code])).toEqual([
    ["not_run", true, "remote_failed"],
    ["completed", false, undefined],
  ]);
  expect(run.agents).toHaveLength(1);
});

test("benchmark run - a wrong token ends it before anything is measured", async () => {
  await using server = await startServer();
  await expect(measure(server, ["file"], { token: "bad-token" })).rejects.toMatchObject({ code: "unauthorized" });
});

test("benchmark run - an abort deletes every agent, cancels what runs and says cancelled", async () => {
  await using server = await startServer();
  const controller = new AbortController();
  let started = 0;
  server.quirks.takeCalls = (content) => {
    if (typeof content === "string") return Promise.resolve([]);
    if (++started === 2) controller.abort(new PaddockError("cancelled", "enough"));
    return Promise.reject(new Error("the row never moves again"));
  };
  const ended = measure(server, ["file"], { runs: 5, concurrency: 2, signal: controller.signal, stallMs: 60_000 });
  await expect(ended).rejects.toMatchObject({ code: "cancelled" });
  expect([server.agents.size, started]).toEqual([0, 2]);
  expect(server.count("POST", /cancel$/)).toBeGreaterThan(0);
});

test("benchmark run - kept agents stay and are named; the warm-up's do not", async () => {
  await using server = await startServer();
  const progress: string[] = [];
  const run = await measure(server, ["file"], { keepAgents: true, onProgress: (text) => progress.push(text) });
  expect([...server.agents.keys()]).toEqual([run.agents[0]?.name]);
  expect(progress).toContain(`kept agent ${run.agents[0]?.name ?? ""}`);
});

test("benchmark run - a stock server is measured by the client's clock and the wire; the rest is unknown", async () => {
  await using server = await StockServer.start();
  const run = await measure(server, ["file"]);
  expect(run.server).toMatchObject({ items: [], version: "0.5.3" });
  const [sample] = run.samples;
  expect(sample).toMatchObject({
    source: "segments",
    status: "completed",
    tool_calls: 1,
    network_ms: null,
    compute_ms: null,
  });
  expect(sample?.total_ms).toBeGreaterThan(0);
  expect(sample?.http_received_bytes).toBeGreaterThan(100);
});
