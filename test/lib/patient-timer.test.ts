import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { PatientTimer } from "../../src/lib/patient-timer.ts";

const LIMIT_MS = 50;
/** Timers round, ten times a limit. */
const least = (limits: number): number => (limits - 0.2) * LIMIT_MS;

function start(isSlow: () => boolean): { readonly timer: PatientTimer; readonly expired: Promise<number> } {
  const begun = performance.now();
  const { promise, resolve } = Promise.withResolvers<number>();
  return { timer: new PatientTimer(LIMIT_MS, isSlow, () => resolve(performance.now() - begun)), expired: promise };
}

test("patient timer - expires after its limit, and not when it was disposed of", async () => {
  const { expired } = start(() => false);
  const other = start(() => false);
  other.timer[Symbol.dispose]();
  expect(await expired).toBeGreaterThan(least(1));
  expect(await Promise.race([other.expired, sleep(4 * LIMIT_MS, "never")])).toBe("never");
});

test("patient timer - what is held up has its whole limit afterwards, and five limits in all", async () => {
  let slow = true;
  const { expired } = start(() => slow);
  await sleep(2 * LIMIT_MS);
  slow = false;
  expect(await expired).toBeGreaterThan(least(3));
  expect(await start(() => true).expired).toBeGreaterThan(least(5));
});

test("patient timer - a time in which our own event loop stood still does not count", async () => {
  const { expired } = start(() => false);
  for (const until = performance.now() + 10 * LIMIT_MS; performance.now() < until; );
  expect(await expired).toBeGreaterThan(least(10.9));
});
