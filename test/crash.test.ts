import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { closeLostTasks, createApp } from "../src/app.ts";
import { resolveHome } from "../src/config/home.ts";
import { listNames } from "./conformance/driver/scan.ts";
import { CLI } from "./support/cli.ts";
import { TEST_HOME } from "./support/home.ts";
import { expectSoonEmpty, livingRemains } from "./support/remains.ts";

/** A data folder of its own, so that everything in it and everything that mentions it was left by a victim. */
const ENV = { ...process.env, PADDOCK_HOME: `${TEST_HOME}-crash` };
const HOME = resolveHome(ENV, process.getuid?.() ?? 0);
const COUNT = Number(process.env["PADDOCK_CRASH_COUNT"] ?? 20);
const SEED = Number(process.env["PADDOCK_CRASH_SEED"] ?? Date.now() % 1_000_000);

const SLEEPER = "import time\nprint('on', flush=True)\ntime.sleep(60)";
const VICTIMS = [
  ["the CLI", [CLI, "run", "--bare", "-q", "-c", SLEEPER]],
  ["a library process", [fileURLToPath(new URL("support/victim.ts", import.meta.url))]],
] as const;

beforeAll(async () => {
  mkdirSync(HOME.root, { recursive: true, mode: 0o711 });
  await startAndStop();
});

test.each(VICTIMS)(
  "crash - SIGKILL of %s in the middle of a call leaves nothing, and its task is lost",
  async (_name, argv) => {
    const before = new Set(listTasks());
    const victim = start(argv);
    await saidOn(victim);
    const ids = listIds();
    expect(livingRemains(ids)).not.toEqual([]);
    expect(processesNamed(HOME.root)).not.toEqual([]);
    await kill(victim);
    await expectSoonEmpty(() => [...livingRemains([HOME.root, ...ids]), ...processesNamed(HOME.root)]);
    await startAndStop();
    expect(listRooms()).toEqual([]);
    const [task, ...others] = listTasks().filter((name) => !before.has(name));
    expect(others).toEqual([]);
    expect(lastLine(task ?? "")).toMatchObject({ line: "lost", code: "task_lost" });
  },
);

test(`crash - SIGKILL at ${COUNT} random moments leaves nothing (seed ${SEED})`, {
  timeout: 30_000 + COUNT * 3000,
}, async () => {
  console.log(`PADDOCK_CRASH_SEED=${SEED} PADDOCK_CRASH_COUNT=${COUNT}`);
  const random = makeRandom(SEED);
  const before = new Set(listTasks());
  const readyMs = await measureReady();
  const seen = new Set<string>();
  for (let round = 0; round < COUNT; round++) {
    const [, argv] = VICTIMS[round % VICTIMS.length] ?? VICTIMS[0];
    const victim = start(argv);
    await sleep(readyMs * (0.3 + random()));
    for (const id of listIds()) seen.add(id);
    await kill(victim);
    for (const id of listIds()) seen.add(id);
    await expectSoonEmpty(() => [...livingRemains([HOME.root, ...seen]), ...processesNamed(HOME.root)]);
  }
  await startAndStop();
  expect(listRooms()).toEqual([]);
  const ends = listTasks()
    .filter((name) => !before.has(name))
    .map((name) => lastLine(name).line);
  expect(ends.filter((line) => line !== "lost")).toEqual([]);
  expect(seen.size).toBeGreaterThan(0);
});

/** What every start does: reaps, and closes the tasks of dead owners. */
async function startAndStop(): Promise<void> {
  await using app = await createApp({ env: ENV });
  await app.fleet.start();
  closeLostTasks(app);
}

function start(argv: readonly string[]): ChildProcess {
  return spawn(process.execPath, argv, { env: ENV, stdio: ["ignore", "pipe", "inherit"] });
}

async function saidOn(victim: ChildProcess): Promise<void> {
  if (victim.stdout === null) throw new Error("the victim has no output");
  await once(victim.stdout, "data");
}

async function kill(victim: ChildProcess): Promise<void> {
  victim.kill("SIGKILL");
  if (victim.signalCode === null) await once(victim, "exit");
  expect(victim.signalCode).toBe("SIGKILL");
}

/** How long a victim takes until its call runs; moments are chosen around that. */
async function measureReady(): Promise<number> {
  const begun = performance.now();
  const victim = start(VICTIMS[0][1]);
  await saidOn(victim);
  const readyMs = performance.now() - begun;
  await kill(victim);
  return readyMs;
}

const listIds = (): string[] => [...new Set(listRooms().flatMap((path) => /sbx_\w{26}/.exec(path)?.[0] ?? []))];

/** What sandboxes have in the data folder. Formatted images that workspaces are copied from stay; drafts of them go after an hour. */
function listRooms(): string[] {
  return [HOME.run, HOME.owners, HOME.workspaces, HOME.uids].flatMap((room) =>
    listNames(room)
      .filter((name) => !/^\.(blank|probe)-/.test(name))
      .map((name) => join(room, name)),
  );
}

const listTasks = (): string[] => listNames(HOME.tasks).filter((name) => name.endsWith(".jsonl"));

function lastLine(task: string): { readonly line: string } {
  const lines = readFileSync(join(HOME.tasks, task), "utf8").trim().split("\n");
  return JSON.parse(lines.at(-1) ?? "") as { line: string };
}

/** Processes that were started from the data folder: launchers and supervisors. */
function processesNamed(path: string): string[] {
  return listNames("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = readCommand(pid);
      return command.includes(path) ? [`process ${pid} ${command}`] : [];
    });
}

function readCommand(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** Mulberry32: the same moments for the same seed. */
function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
