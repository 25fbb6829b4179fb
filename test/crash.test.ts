import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { STEPS, type Step } from "../src/model/steps.ts";
import { CrashSite } from "./support/crash.ts";
import { lacksEngine } from "./support/engine.ts";
import { ensureImage } from "./support/images.ts";
import { makeRandom } from "./support/random.ts";
import { countRounds } from "./support/soak.ts";

/** Random moments, and as many steps where there are more than steps have names. */
const COUNT = countRounds("PADDOCK_CRASH_COUNT", 3, 100);
const SEED = Number(process.env["PADDOCK_CRASH_SEED"] ?? Date.now() % 1_000_000);
const ROUND_MS = 25_000;
/** Once in so many rounds the launcher dies with its owner. */
const LAUNCHER_EVERY = 4;
/** Once in so many rounds of a driver that can, the sandbox may outlive its owner. */
const SURVIVOR_EVERY = 7;

const ENGINE_STEPS: readonly Step[] = [
  "held",
  "container made",
  "container started",
  "container recorded",
  "container removed",
];
const DRIVERS = [
  ["bubblewrap", STEPS.filter((step) => !ENGINE_STEPS.includes(step)), false],
  ["docker", STEPS, lacksEngine()],
] as const;

for (const [driver, steps, isMissing] of DRIVERS)
  describe.skipIf(isMissing)(`crash - ${driver}`, () => {
    let site: CrashSite;

    beforeAll(async () => {
      if (driver === "docker") await ensureImage("base");
      site = new CrashSite(driver);
      expect(await site.clear()).toEqual([]);
    }, 290_000);

    test.each([
      ["the CLI", () => site.startCli()],
      ["a library process", () => site.startLibrary("work")],
    ])("SIGKILL of %s in the middle of a call leaves nothing, and its task is lost", async (_name, start) => {
      const before = site.lastLines().length;
      const victim = start();
      await victim.saidOn();
      expect(site.listLiving()).not.toEqual([]);
      expect(site.listProcesses()).not.toEqual([]);
      await victim.kill();
      expect(await site.awaitDead()).toEqual([]);
      expect(await site.clear()).toEqual([]);
      expect(site.lastLines().slice(before)).toMatchObject([{ line: "lost", code: "task_lost" }]);
    });

    const stepRounds = Math.max(COUNT, steps.length);

    test(`SIGKILL after each step of create and destroy leaves nothing (${stepRounds} rounds)`, {
      timeout: stepRounds * ROUND_MS,
    }, async () => {
      const begun = performance.now();
      for (let round = 0; round < stepRounds; round++) {
        const step = steps[round % steps.length] as Step;
        const how = chooseHow(round + Math.floor(round / steps.length), driver);
        await site.startLibrary("step", step, how).died();
        expect([step, how, await site.clear()]).toEqual([step, how, []]);
      }
      report(driver, "steps", stepRounds, begun, site);
    });

    test(`SIGKILL at random moments leaves nothing (${COUNT} rounds, seed ${SEED})`, {
      timeout: 30_000 + COUNT * ROUND_MS,
    }, async () => {
      console.log(`PADDOCK_CRASH_SEED=${SEED} PADDOCK_CRASH_COUNT=${COUNT}`);
      const random = makeRandom(SEED);
      const readyMs = await measureReady(site);
      const begun = performance.now();
      const starts = [() => site.startLibrary("churn"), () => site.startCli(), () => site.startLibrary("work")];
      for (let round = 0; round < COUNT; round++) {
        const victim = starts[round % starts.length]?.();
        await sleep(readyMs * (0.3 + random() * (round % starts.length === 0 ? 2 : 1)));
        await victim?.kill();
        expect([round, await site.clear()]).toEqual([round, []]);
      }
      report(driver, "random moments", COUNT, begun, site);
      const ends = new Set(site.lastLines().map(({ line }) => line));
      expect([...ends].filter((line) => line !== "lost" && line !== "end")).toEqual([]);
      expect(site.ids.size).toBeGreaterThan(stepRounds / 2);
    });
  });

function chooseHow(round: number, driver: string): string {
  if (round % LAUNCHER_EVERY === LAUNCHER_EVERY - 1) return "launcher";
  return driver === "docker" && round % SURVIVOR_EVERY === SURVIVOR_EVERY - 1 ? "survive" : "alone";
}

function report(driver: string, what: string, count: number, begun: number, site: CrashSite): void {
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(
    `crash: ${driver}, ${what}: ${count} kills, 0 leftovers, ${site.ids.size} sandboxes so far, ${seconds} s`,
  );
}

/** How long a victim takes until its call runs; moments are chosen around that. */
async function measureReady(site: CrashSite): Promise<number> {
  const begun = performance.now();
  const victim = site.startCli();
  await victim.saidOn();
  const readyMs = performance.now() - begun;
  await victim.kill();
  return readyMs;
}
