import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { openTestApp, testEnv, testHome } from "../support/home.ts";
import { expectCleanHost, listLeftovers, sandboxProcesses } from "../support/host-state.ts";

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const COUNT = Number(process.env["PADDOCK_CRASH_COUNT"] ?? 20);
const SEED = Number(process.env["PADDOCK_CRASH_SEED"] ?? Date.now() % 1_000_000);

let app: App;
let before: string[];

beforeAll(async () => {
  app = await openTestApp();
  await app.fleet.start();
  before = listLeftovers();
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
});

/** mulberry32: the same seed gives the same moments. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function startTask(): ChildProcess {
  const code = "import os, time\nos.system('setsid sleep 300 &')\nprint('begun', flush=True)\ntime.sleep(300)";
  return spawn(process.execPath, [CLI, "run", "--bare", "-q", "-c", code], {
    env: testEnv(),
    stdio: ["ignore", "pipe", "ignore"],
  });
}

const kernelLeftovers = (): string[] =>
  listLeftovers().filter((item) => !item.startsWith("folder ") && !before.includes(item));

/** What the kernel and the launcher clean up by themselves, without another start. */
async function expectNothingAlive(): Promise<void> {
  const deadline = performance.now() + 3000;
  while (kernelLeftovers().length > 0 && performance.now() < deadline) await sleep(20);
  expect(kernelLeftovers()).toEqual([]);
}

test("owner death - SIGKILL of the CLI mid-task leaves no process, mount or cgroup, and the next start the rest", async () => {
  const cli = startTask();
  await once(cli.stdout as NonNullable<typeof cli.stdout>, "data");
  expect(sandboxProcesses().length).toBeGreaterThan(before.filter((item) => item.startsWith("process")).length);
  cli.kill("SIGKILL");
  await once(cli, "exit");
  await expectNothingAlive();
  await app.fleet.reap();
  expect(app.store.closeLost()).toHaveLength(1);
});

test(`owner death - SIGKILL at ${COUNT} random moments of create, run and end leaves nothing (seed ${SEED})`, {
  timeout: 60_000 + COUNT * 4000,
}, async () => {
  const random = makeRandom(SEED);
  for (let round = 0; round < COUNT; round++) {
    const cli = startTask();
    const exited = once(cli, "exit");
    // A start takes about 250 ms until the launcher runs; the sandbox is made within the next 100.
    await sleep(150 + random() * 350);
    cli.kill("SIGKILL");
    await exited;
    await expectNothingAlive();
  }
  await app.fleet.reap();
  expect(readdirSync(testHome.owners).filter((name) => !before.some((item) => item.includes(name)))).toEqual([]);
  app.store.closeLost();
  expect(app.store.closeLost()).toEqual([]);
});

test("owner death - SIGINT cancels, cleans up and ends with 130", async () => {
  const cli = startTask();
  await once(cli.stdout as NonNullable<typeof cli.stdout>, "data");
  cli.kill("SIGINT");
  const [code] = (await once(cli, "exit")) as [number | null];
  expect(code).toBe(130);
  await expectCleanHost([...before, ...listLeftovers().filter((item) => item.startsWith("folder "))]);
});
