import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createApp } from "../src/app.ts";
import { renderTable } from "../src/cli/render/table.ts";
import { timeCall } from "../src/compare/call.ts";
import { measureResidentBytes } from "../src/compare/memory.ts";
import { timePlain } from "../src/compare/plain.ts";
import { summarise } from "../src/compare/stats.ts";
import type { Lease } from "../src/fleet/fleet.ts";
import type { Measured } from "../src/model/comparison.ts";
import { makeToolCallId } from "../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../src/model/limits.ts";
import type { NodeType } from "../src/model/node-type.ts";

const WARM_UP = 5;
const N = Number(process.env["BENCH_N"] ?? 60);

interface Scenario {
  readonly name: string;
  readonly timed: string;
  readonly budgetMs: number | undefined;
  readonly plainName: string;
  readonly run: () => Promise<number>;
  readonly plain: () => Promise<number>;
}

interface Row {
  readonly name: string;
  readonly timed: string;
  readonly budgetMs: number | undefined;
  readonly plainName: string;
  readonly ours: Measured;
  readonly plain: Measured;
}

await using app = await createApp();
const signal = new AbortController().signal;

async function lease(nodeType: NodeType, bare: boolean, workspace: "new" | "memory" = "new"): Promise<Lease> {
  return await app.fleet.lease({
    nodeType,
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare,
    signal,
    onProgress: (text) => process.stderr.write(`${text}\n`),
    workspace: { kind: workspace },
  });
}

async function createToFirst(workspace: "new" | "memory"): Promise<number> {
  const begun = performance.now();
  const one = await lease("file", true, workspace);
  const result = await one.sandbox.runProcess({ callId: makeToolCallId(), argv: ["/usr/bin/true"] });
  const elapsed = performance.now() - begun;
  if (result.report?.exit_code !== 0) throw new Error("the first command failed");
  await one.close();
  return elapsed;
}

async function measure(scenario: Scenario): Promise<Row> {
  const ours: number[] = [];
  const plain: number[] = [];
  for (let i = 0; i < N + WARM_UP; i++) {
    const a = await scenario.run();
    const b = await scenario.plain();
    if (i >= WARM_UP) {
      ours.push(a);
      plain.push(b);
    }
  }
  const { name, timed, budgetMs, plainName } = scenario;
  return { name, timed, budgetMs, plainName, ours: summarise(ours), plain: summarise(plain) };
}

async function idleMemory(): Promise<number> {
  await using one = await lease("file", true);
  await one.sandbox.runProcess({ callId: makeToolCallId(), argv: ["/usr/bin/true"] });
  await sleep(2000);
  return measureResidentBytes(app.config.home.owners, one.sandbox.id);
}

function machine(): Record<string, unknown> {
  const version = (command: string, args: readonly string[]): string =>
    execFileSync(command, args, { encoding: "utf8" }).trim();
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    python: version("/usr/bin/python3", ["--version"]),
    bubblewrap: version("bwrap", ["--version"]),
    load: loadavg(),
    commit: version("git", ["rev-parse", "--short", "HEAD"]),
    uptime_s: Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]),
  };
}

const before = machine();
const fileNode = await lease("file", true);
const pythonNode = await lease("python", false);
const javascriptNode = await lease("javascript", false);
const pandas = ["-c", "import pandas"];
// The venv's own python is a link to the system's; its packages are found through the path.
const pandasEnv = {
  ...process.env,
  PYTHONPATH: execFileSync(
    "bash",
    ["-c", `echo ${pythonNode.template?.folder ?? ""}/venv/lib/python3*/site-packages`],
    { encoding: "utf8" },
  ).trim(),
};
await timeCall(pythonNode, "run_python", { code: "import pandas" }, signal);
for (let i = 0; i < 100; i++) await fileNode.sandbox.files.write(`f${i}`, "x");

const scenarios: readonly Scenario[] = [
  {
    name: "create to first command, disk image",
    timed: "lease + first `true`",
    budgetMs: 40,
    plainName: "spawn true",
    run: () => createToFirst("new"),
    plain: () => timePlain("/usr/bin/true", []),
  },
  {
    name: "create to first command, memory",
    timed: "lease + first `true`",
    budgetMs: 40,
    plainName: "spawn true",
    run: () => createToFirst("memory"),
    plain: () => timePlain("/usr/bin/true", []),
  },
  {
    name: "run_command true, 100 files",
    timed: "plan to closed record, diff included",
    budgetMs: 2,
    plainName: "spawn true",
    run: () => timeCall(fileNode, "run_command", { command: ["/usr/bin/true"] }, signal),
    plain: () => timePlain("/usr/bin/true", []),
  },
  {
    name: 'run_python "import pandas"',
    timed: "plan to closed record, fresh globals",
    budgetMs: 12,
    plainName: "python3 -c import pandas",
    run: () => timeCall(pythonNode, "run_python", { code: "import pandas" }, signal),
    plain: () => timePlain("/usr/bin/python3", pandas, pandasEnv),
  },
  {
    name: 'run_javascript "1+1"',
    timed: "plan to closed record, spare ready",
    budgetMs: 10,
    plainName: "node -e 1+1",
    run: async () => {
      await sleep(300);
      return await timeCall(javascriptNode, "run_javascript", { code: "1+1" }, signal);
    },
    plain: () => timePlain(process.execPath, ["-e", "1+1"]),
  },
];

const rows: Row[] = [];
for (const scenario of scenarios) {
  process.stderr.write(`${scenario.name}\n`);
  rows.push(await measure(scenario));
}
for (const one of [fileNode, pythonNode, javascriptNode]) await one.close();
const idleBytes = await idleMemory();

const ms = (value: number): string => value.toFixed(2);
const table = renderTable(
  [
    { title: "scenario" },
    { title: "p50 ms", align: "right" },
    { title: "p95 ms", align: "right" },
    { title: "budget", align: "right" },
    { title: "plain p50", align: "right" },
    { title: "ratio", align: "right" },
    { title: "n", align: "right" },
    { title: "inside the timer" },
  ],
  rows.map((row) => [
    row.name,
    ms(row.ours.p50),
    ms(row.ours.p95),
    row.budgetMs === undefined ? "" : String(row.budgetMs),
    `${ms(row.plain.p50)} (${row.plainName})`,
    (row.ours.p50 / row.plain.p50).toFixed(3),
    String(row.ours.n),
    row.timed,
  ]),
);
process.stdout.write(
  `${table}\n\nidle sandbox of the file type: ${(idleBytes / 1024 ** 2).toFixed(1)} MiB PSS (budget 16)\n`,
);
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
const file = new URL(`${new Date().toISOString().replaceAll(":", "-")}.json`, folder);
writeFileSync(
  file,
  JSON.stringify(
    { machine: before, load_after: loadavg(), limits_mode: app.driver.name, idle_pss_bytes: idleBytes, rows },
    null,
    1,
  ),
);
process.stdout.write(`raw samples: ${file.pathname}\n`);
