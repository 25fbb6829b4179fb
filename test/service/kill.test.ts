import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { summarise } from "../../src/compare/stats.ts";
import { STEPS } from "../../src/model/steps.ts";
import { awaitEmpty, livingRemains } from "../conformance/driver/scan.ts";
import { makeRandom } from "../support/random.ts";
import { makeServiceRoot } from "../support/service.ts";
import { countRounds } from "../support/soak.ts";
import { ask, KEPT, Ledger, Load, SMALL } from "./load.ts";
import { type Counts, listHost, listSandboxes, Survival } from "./survival.ts";
import { type Running, startAndKill, startServer } from "./victim-server.ts";

/** `paddock serve` under load dies by SIGKILL at random moments and starts again over the same data folder. */
const KILLS = countRounds("PADDOCK_SERVE_KILLS", 2, 100);
const SEED = Number(process.env["PADDOCK_SERVE_KILLS_SEED"] ?? Date.now() % 1_000_000);
const ROUND_MS = 60_000;
const LONGEST_LOAD_MS = 1500;
/** The part of the rounds where the next server dies while it starts. */
const KILLED_AGAIN = 0.2;
const LONGEST_START_MS = 1200;
/** The n-th time that a step is taken is at most this one. */
const LATEST = 4;
const OURS = STEPS.filter((step) => !/^held$|container/.test(step));
const FIRST = SEED % OURS.length;
const STEPS_TRIED = [...OURS.slice(FIRST), ...OURS.slice(0, FIRST)].slice(0, KILLS < 100 ? 2 : OURS.length);
const GONE_MS = 20_000;

const root = makeServiceRoot();
const random = makeRandom(SEED);
let server: Running;
let token = "";

beforeAll(async () => {
  const first = await startServer(root);
  server = first;
  token = first.adminToken ?? "";
  await makeKept(first.url);
});

afterAll(async () => {
  await server?.stop();
  rmSync(root, { recursive: true, force: true });
});

async function makeKept(url: string): Promise<void> {
  for (const name of KEPT) {
    expect((await ask(url, token, "POST", "/agents", { name, metadata: SMALL })).status).toBe(200);
    const input = { content: [{ type: "bash", content: `echo of ${name} > before` }] };
    const reply = await ask(url, token, "POST", `/agents/${name}/responses`, { input, background: false });
    expect(reply.json).toMatchObject({ status: "completed" });
  }
}

/**
 * `die` tells the sandboxes of then. Every round has a ledger of its own: earlier rounds were checked, and their agents
 * are the same.
 */
async function killAndRestart(
  running: Running,
  die: () => Promise<readonly string[]>,
): Promise<{ readyMs: number; counts: Counts }> {
  const ledger = new Ledger();
  const load = new Load(running.url, token, ledger, random);
  const before = await die();
  await load.end();
  if (random() < KILLED_AGAIN) await startAndKill(root, random() * LONGEST_START_MS);
  server = await startServer(root);
  const { violations, counts } = await new Survival(root, before, server.url, token, ledger).check();
  expect([...ledger.unexpected, ...violations]).toEqual([]);
  return { readyMs: server.readyMs, counts };
}

test(`service - SIGKILL under load loses nothing that was acknowledged and leaves nothing (${KILLS} kills)`, {
  timeout: 60_000 + KILLS * ROUND_MS,
}, async () => {
  console.log(`PADDOCK_SERVE_KILLS=${KILLS} PADDOCK_SERVE_KILLS_SEED=${SEED}`);
  const begun = performance.now();
  const readyMs: number[] = [];
  const sum: Counts = { completed: 0, failed: 0, cancelled: 0, lost: 0, rerun: 0 };
  for (let round = 0; round < KILLS; round++) {
    const running: Running = server;
    const found = await killAndRestart(running, async () => {
      await sleep(random() * LONGEST_LOAD_MS);
      const before = listSandboxes(root);
      await running.kill();
      return before;
    });
    readyMs.push(found.readyMs);
    for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += found.counts[key];
  }
  const { p50, p95, max } = summarise(readyMs);
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  const posted = sum.completed + sum.failed + sum.cancelled;
  console.log(
    `kills: ${KILLS} in ${seconds} s; ${posted} tasks acknowledged, 0 lost: ${JSON.stringify(sum)}; ` +
      `ready again after p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, max ${max.toFixed(0)} ms`,
  );
  expect(posted).toBeGreaterThan(KILLS);
});

test(`service - SIGKILL after a step of making and removing a sandbox does neither (${STEPS_TRIED.length} steps)`, {
  timeout: 60_000 + STEPS_TRIED.length * ROUND_MS,
}, async () => {
  for (const [round, step] of STEPS_TRIED.entries()) {
    await server.stop();
    // A few sandboxes later it is under load.
    const running = await startServer(root, `${step}:${1 + (round % LATEST)}`);
    await killAndRestart(running, async () => {
      await running.died();
      return listSandboxes(root);
    });
  }
});

test("service - SIGTERM after it leaves no sandbox, and the workspaces", async () => {
  const before = listSandboxes(root);
  expect(await server.stop()).toBe(0);
  const list = (): readonly string[] => [
    ...listHost(root).filter((item) => !/\/(?:workspaces|owners)\/vol_\w{26}$/.test(item)),
    ...(before.length === 0 ? [] : livingRemains(before)),
  ];
  expect(await awaitEmpty(list, GONE_MS)).toEqual([]);
  expect(listHost(root).filter((item) => item.includes("/workspaces/"))).toHaveLength(KEPT.length);
});
