/**
 * The service as its clients meet it: `paddock serve` as a process of its own over a data folder of the bench, a client
 * over HTTP. BENCH_N samples of the latencies, at least 200. BENCH_PROFILE=<folder> writes the server's processor
 * profile there. Exit status 1 when a budget is missed.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderTable } from "../src/cli/render/table.ts";
import { summarise } from "../src/compare/stats.ts";
import { describeMachine, readLoad } from "../src/model/machine.ts";
import { type Burst, measureBurst } from "./service/burst.ts";
import { Client } from "./service/client.ts";
import { measureAgents, measureLatency, type Row } from "./service/latency.ts";
import { startService } from "./service/serve.ts";
import { measureStore } from "./service/store.ts";

const N = Math.max(200, Number(process.env["BENCH_N"] ?? 200));
const AGENT_N = 20;
const [TASKS, AGENTS] = [1000, 20];
const HEALTH_P99_MS = 200;
/**
 * What the contract says of the stock server for the same: a controller that looks every few hundred milliseconds, and
 * a client that polls.
 */
const STOCK = "300 to 2500";

const home = "/var/tmp/paddock-bench";
const loadBefore = readLoad();
mkdirSync(home, { recursive: true, mode: 0o711 });
// Templates stay; agents and responses of an earlier run do not.
rmSync(join(home, "state"), { recursive: true, force: true });
const note = (text: string): void => void process.stderr.write(`${text}\n`);

note("store");
const store = await measureStore(home, N);
const { rows, burst } = await measureService();
const missed = [...findMissed(rows, burst)];
print();
const file = writeResult();
process.stdout.write(`raw samples: ${file}\n`);
if (missed.length > 0) process.exitCode = 1;

async function measureService(): Promise<{ readonly rows: readonly Row[]; readonly burst: Burst }> {
  await using service = await startService(home, process.env["BENCH_PROFILE"]);
  await using client = new Client(service.url, service.token);
  note("template, first task");
  await client.createAgent("bench-warm");
  await client.runBlocking("bench-warm");
  note("latency");
  const latency = await measureLatency(client, "bench-warm", N);
  await client.removeAgent("bench-warm");
  note("agents");
  const agents = await measureAgents(client, AGENT_N);
  note(`${TASKS} tasks on ${AGENTS} agents`);
  const names = Array.from({ length: AGENTS }, (_, i) => `bench-burst-${i}`);
  for (const name of names) await client.createAgent(name);
  for (const name of names) await client.awaitState(name, "idle");
  const burst = await measureBurst(client, service, names, TASKS);
  for (const name of names) await client.removeAgent(name);
  return { rows: [...latency, ...agents], burst };
}

function* findMissed(measured: readonly Row[], { health }: Burst): Generator<string> {
  for (const { name, measured: figures, budgetMs } of measured)
    if (budgetMs !== undefined && figures.p50 > budgetMs)
      yield `${name}: p50 ${figures.p50.toFixed(1)} ms, budget ${budgetMs} ms`;
  if (health.p99 > HEALTH_P99_MS) yield `/health: p99 ${health.p99.toFixed(1)} ms, budget ${HEALTH_P99_MS} ms`;
}

function print(): void {
  const ms = (value: number): string => value.toFixed(1);
  const columns = [
    { title: "scenario" },
    { title: "p50 ms", align: "right" },
    { title: "p95 ms", align: "right" },
    { title: "budget", align: "right" },
    { title: "stock" },
    { title: "n", align: "right" },
    { title: "inside the timer" },
  ] as const;
  const lines = rows.map(({ name, timed, budgetMs, measured }, index) => [
    name,
    ms(measured.p50),
    ms(measured.p95),
    budgetMs === undefined ? "" : String(budgetMs),
    index < 4 ? STOCK : "",
    String(measured.n),
    timed,
  ]);
  const writes = Object.entries(store).map(([name, { p50, p95, n }]) => [
    `store: ${name}`,
    p50.toFixed(2),
    p95.toFixed(2),
    "",
    "",
    String(n),
    "one transaction, durable",
  ]);
  const { health, rssMib } = burst;
  process.stdout.write(
    `${renderTable(columns, [...lines, ...writes])}\n\n` +
      `${burst.tasks} tasks on ${burst.agents} agents: ${burst.seconds.toFixed(1)} s, ${burst.tasksPerSecond.toFixed(1)} per second, ` +
      `${burst.refusals} posts told to come back\n` +
      `/health meanwhile: p50 ${ms(health.p50)} ms, p99 ${ms(health.p99)} ms (budget ${HEALTH_P99_MS}), max ${ms(health.max)} ms, n ${health.n}\n` +
      `memory of the server after each tenth: ${rssMib.map((mib) => mib.toFixed(0)).join(" ")} MiB\n` +
      `${missed.length === 0 ? "all budgets kept" : `missed: ${missed.join("; ")}`}\n`,
  );
}

function writeResult(): string {
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  const result = new URL(`service-${new Date().toISOString().replaceAll(":", "-")}.json`, folder);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const machine = { ...describeMachine(loadBefore), commit };
  writeFileSync(result, JSON.stringify({ machine, rows, store, burst, rss: summarise(burst.rssMib), missed }, null, 1));
  return result.pathname;
}
