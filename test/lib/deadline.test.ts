import { expect, test } from "vitest";
import { backoffMs } from "../../src/lib/backoff.ts";
import { Deadline, raceSignal } from "../../src/lib/deadline.ts";
import { parseUntrustedJson } from "../../src/lib/json.ts";
import { identifyProcess, isAlive } from "../../src/lib/process-identity.ts";

test("deadline - aborts with a time-out of its own and with a parent's reason otherwise", async () => {
  using own = Deadline.after(5);
  await expect(raceSignal(new Promise(() => undefined), own.signal)).rejects.toThrow("after 5 ms");
  expect(own.timedOut).toBe(true);
  const parent = new AbortController();
  using child = Deadline.after(60_000, parent.signal);
  parent.abort(new Error("left"));
  await expect(raceSignal(new Promise(() => undefined), child.signal)).rejects.toThrow("left");
  expect(child.timedOut).toBe(false);
});

test("deadline - a time beyond what timers take is held to the largest, not fired at once", () => {
  using late = Deadline.after(2 ** 40);
  expect(late.signal.aborted).toBe(false);
  expect(late.remainingMs()).toBeGreaterThan(2 ** 30);
});

test("deadline - begins again with another time, and not once it has passed", async () => {
  using deadline = Deadline.after(60_000);
  deadline.restart(5);
  await expect(raceSignal(new Promise(() => undefined), deadline.signal)).rejects.toThrow("after 5 ms");
  deadline.restart(60_000);
  expect(deadline.timedOut).toBe(true);
});

test("backoff - grows to its cap with jitter in the upper half", () => {
  const options = { baseMs: 100, capMs: 1000, random: () => 0 };
  expect([1, 2, 3, 4, 5].map((attempt) => backoffMs(attempt, options))).toEqual([50, 100, 200, 400, 500]);
  expect(backoffMs(9, { ...options, random: () => 0.999 })).toBeGreaterThan(990);
});

test("untrusted json - no key reaches a prototype", () => {
  const value = parseUntrustedJson('{"__proto__":{"admin":true},"a":{"constructor":1}}') as Record<string, unknown>;
  expect(Object.getPrototypeOf(value)).toBe(null);
  expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
});

test("process identity - knows this process and not one with another start time", () => {
  const me = identifyProcess(process.pid);
  expect(me && isAlive(me)).toBe(true);
  expect(me && isAlive({ ...me, startTicks: "1" })).toBe(false);
  expect(identifyProcess(2 ** 22 + 1)).toBeUndefined();
});

test("deadline - a race that was lost before it began leaves no unhandled rejection", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  await expect(raceSignal(promise, AbortSignal.abort(new Error("left")))).rejects.toThrow("left");
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", listen);
  reject(new Error("late"));
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", listen);
  expect(unhandled).toEqual([]);
});
