import { expect, test } from "vitest";
import { Turns } from "../../src/store/state/engine/event-loop-turns.ts";

/** Holds the thread, as a write of the embedded database does. */
async function hold(ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test("turns - work that arrives together lets the event loop turn every few milliseconds, and keeps its order", async () => {
  const turns = new Turns();
  const order: number[] = [];
  let loopTurns = 0;
  let isOver = false;
  const count = (): void => {
    loopTurns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const work = Array.from({ length: 20 }, async (_, i) => {
    await turns.run(async () => await hold(6));
    order.push(i);
  });
  await Promise.all(work);
  isOver = true;
  // Two pieces fill a slice.
  expect(loopTurns).toBeGreaterThanOrEqual(9);
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

test("turns - pieces that are asked for one after the other share the slices, too", async () => {
  const turns = new Turns();
  let hasTurned = false;
  setImmediate(() => {
    hasTurned = true;
  });
  for (let i = 0; i < 4; i++) await turns.run(async () => await hold(6));
  expect(hasTurned).toBe(true);
});

test("turns - work that fails holds up nobody", async () => {
  const turns = new Turns();
  const failing = turns.run(async () => await Promise.reject(new Error("broken")));
  const next = turns.run(async () => "done");
  await expect(failing).rejects.toThrow("broken");
  expect(await next).toBe("done");
});
