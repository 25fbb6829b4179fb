import { expect, test } from "vitest";
import { FairSlots, type Slot } from "../../src/lib/fair-slots.ts";

const never = new AbortController().signal;
const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test("slots - who waits is served in turn by principal, in order within one", async () => {
  const slots = new FairSlots(1);
  const held = await slots.acquire("a", never);
  const order: string[] = [];
  const wait = async (principal: string, name: string): Promise<void> => {
    using _slot = await slots.acquire(principal, never);
    order.push(name);
    await settled();
  };
  const all = [wait("a", "a1"), wait("a", "a2"), wait("a", "a3"), wait("b", "b1"), wait("c", "c1"), wait("b", "b2")];
  held[Symbol.dispose]();
  await Promise.all(all);
  expect(order).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
});

test("slots - who leaves holds up nobody, and a slot given back twice counts once", async () => {
  const slots = new FairSlots(1);
  const held = await slots.acquire("a", never);
  const leaving = new AbortController();
  const left = slots.acquire("a", leaving.signal);
  const next = slots.acquire("b", never);
  leaving.abort(new Error("left"));
  await expect(left).rejects.toThrow("left");
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  const got = await next;
  let isThird = false;
  const third = slots.acquire("c", never).then((slot) => {
    isThird = true;
    return slot;
  });
  await settled();
  expect(isThird).toBe(false);
  got[Symbol.dispose]();
  (await third)[Symbol.dispose]();
});

test("slots - a slot that is lent is others' meanwhile, and gone when its owner leaves", async () => {
  const slots = new FairSlots(1);
  const mine = await slots.acquire("a", never);
  await mine.lend(never, async () => {
    using _other = await slots.acquire("b", never);
  });
  const leaving = new AbortController();
  const failing = mine.lend(leaving.signal, async () => leaving.abort(new Error("left")));
  await expect(failing).rejects.toThrow("left");
  mine[Symbol.dispose]();
  using _first = await slots.acquire("a", never);
  let isFree = false;
  void slots.acquire("b", never).then(() => {
    isFree = true;
  });
  await settled();
  expect(isFree).toBe(false);
});

test("slots - one principal never holds all of them, and its turn comes when one of its own ends", async () => {
  const slots = new FairSlots(4, 3);
  const held: Slot[] = [];
  for (let count = 0; count < 3; count++) held.push(await slots.acquire("a", never));
  let hasFourth = false;
  const fourth = slots.acquire("a", never).then((slot) => {
    hasFourth = true;
    return slot;
  });
  await settled();
  expect(hasFourth).toBe(false);
  const other = await slots.acquire("b", never);
  let hasSecond = false;
  const second = slots.acquire("b", never).then((slot) => {
    hasSecond = true;
    return slot;
  });
  other[Symbol.dispose]();
  // Although a waits longer, the slot that came free is one that a may not have.
  const next = await second;
  expect([hasSecond, hasFourth]).toEqual([true, false]);
  await held[0]?.lend(never, async () => {
    using _fourth = await fourth;
    await settled();
  });
  for (const slot of [...held, next]) slot[Symbol.dispose]();
  for (const name of ["c", "d", "e", "f"]) await slots.acquire(name, never);
});
