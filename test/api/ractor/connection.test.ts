import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { raceTick, TICK } from "../../../src/api/http/connection.ts";
import { readWait } from "../../../src/api/ractor/responses/response-wait.ts";

test("connection - a tick comes while nothing else does, and what comes is not lost by it", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  expect(await raceTick(promise, 1)).toBe(TICK);
  expect(await raceTick(promise, 1)).toBe(TICK);
  resolve("value");
  expect(await raceTick(promise, 60_000)).toBe("value");
  const failed = Promise.reject(new Error("broken"));
  await expect(raceTick(failed, 60_000)).rejects.toThrow("broken");
  await setImmediate();
});

test.each([
  [undefined, undefined, 900_000],
  [null, "respond-async, wait=20", 20_000],
  [null, "WAIT=7", 7000],
  [0.5, "wait=20", 500],
  [99_999, undefined, 3_600_000],
  [undefined, "waiting=5", 900_000],
  [undefined, ["wait=3", "wait=4"], 3000],
])("blocking post - body %o and Prefer %o wait %i ms", (seconds, prefer, waitMs) => {
  expect(readWait(seconds, prefer)).toBe(waitMs);
});
