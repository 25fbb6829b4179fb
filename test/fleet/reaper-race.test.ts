import { beforeAll, describe, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { livingRemains, storedRemains } from "../conformance/driver/scan.ts";
import { lacksEngine } from "../support/engine.ts";
import { listEngineState } from "../support/engine-state.ts";
import { openTestApp, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { expectSoonEmpty } from "../support/remains.ts";
import { countRounds } from "../support/soak.ts";

const AT_ONCE = 4;
const SIGNAL_MS = 60_000;

const DRIVERS = [
  ["bubblewrap", countRounds("PADDOCK_RACES", 20, 100), false],
  ["docker", countRounds("PADDOCK_RACES", 4, 100), lacksEngine()],
] as const;

/** Sweeps without a pause from a second owner of the same data folder. */
async function sweepUntil(app: App, ended: () => boolean, reaped: Set<string>): Promise<number> {
  let sweeps = 0;
  while (!ended()) {
    for (const id of (await app.fleet.reap()).reaped) reaped.add(id);
    sweeps += 1;
  }
  return sweeps;
}

async function liveOnce(app: App): Promise<string> {
  await using lease = await app.fleet.lease({
    nodeType: "file",
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare: true,
    signal: AbortSignal.timeout(SIGNAL_MS),
    onProgress: () => undefined,
  });
  const { stdout } = await lease.sandbox.runProcess({ argv: ["/bin/echo", "alive"] });
  expect(stdout.text).toBe("alive\n");
  return lease.sandbox.id;
}

for (const [driver, rounds, isMissing] of DRIVERS)
  describe.skipIf(isMissing)(`reaper race - ${driver}`, () => {
    beforeAll(async () => {
      if (driver === "docker") await ensureImage("base");
    }, 290_000);

    test(`no sweep touches what is being made, used or removed (${rounds} sandboxes)`, {
      timeout: 300_000,
    }, async () => {
      await using owner = await openTestApp({ driver });
      await using other = await openTestApp({ driver });
      await Promise.all([owner.fleet.start(), other.fleet.start()]);
      const reaped = new Set<string>();
      const made: string[] = [];
      let isOver = false;
      const sweeping = sweepUntil(other, () => isOver, reaped);
      const work = async (): Promise<void> => {
        while (made.length < rounds) made.push(await liveOnce(owner));
      };
      const done = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
      isOver = true;
      const sweeps = await sweeping;
      expect(done.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []))).toEqual([]);
      expect(made.filter((id) => reaped.has(id))).toEqual([]);
      expect(sweeps).toBeGreaterThan(10);
      await expectSoonEmpty(() => [
        ...livingRemains(made),
        ...storedRemains(made, testHome),
        ...listEngineState().filter((item) => made.some((id) => item.includes(id))),
      ]);
    });
  });
