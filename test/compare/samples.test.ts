import { expect, test } from "vitest";
import { type Sampler, Samples } from "../../src/compare/samples.ts";

const never = new AbortController().signal;

test("compare - a round takes each sampler once; warm-up rounds do not count", async () => {
  const order: string[] = [];
  const make = (subject: string): Sampler => ({
    subject,
    keys: ["command"],
    sample: async () => ({ command: order.push(subject) }),
  });
  const samples = new Samples();
  const subjects = ["a", "b", "c", "d", "e", "f"];
  await samples.run({ samplers: subjects.map(make), n: 20, warmUp: 2, signal: never });
  const rounds = Array.from({ length: 22 }, (_, round) => order.slice(round * 6, round * 6 + 6));
  for (const round of rounds) expect(round.toSorted()).toEqual(subjects);
  expect(new Set(rounds.map((round) => round.join(""))).size).toBeGreaterThan(1);
  for (const subject of subjects) {
    const measure = samples.measure(subject, "command");
    if (measure === undefined || "missing" in measure) throw new Error("no figure");
    expect(measure.n).toBe(20);
    expect(measure.min).toBeGreaterThan(12);
  }
});

test("compare - what one sampler throws costs its own rows, and shows no half figure", async () => {
  let taken = 0;
  const failing: Sampler = {
    subject: "a",
    keys: ["write", "read"],
    sample: async () => {
      taken += 1;
      if (taken === 3) throw new Error("the disk is full");
      return { write: 1, read: 2 };
    },
  };
  const fine: Sampler = { subject: "a", keys: ["command"], sample: async () => ({ command: 1 }) };
  const samples = new Samples();
  await samples.run({ samplers: [failing, fine], n: 5, warmUp: 0, signal: never });
  expect(taken).toBe(3);
  expect(samples.measure("a", "write")).toEqual({ missing: "the disk is full" });
  expect(samples.measure("a", "read")).toEqual({ missing: "the disk is full" });
  expect(samples.measure("a", "command")).toMatchObject({ n: 5 });
  expect(samples.measure("a", "python")).toBeUndefined();
});

test("compare - an abort during a sample is the signal's reason, not a missing figure", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const sampler: Sampler = {
    subject: "a",
    keys: ["command"],
    sample: async () => {
      controller.abort(reason);
      throw new Error("broken by the abort");
    },
  };
  const samples = new Samples();
  await expect(samples.run({ samplers: [sampler], n: 5, warmUp: 0, signal: controller.signal })).rejects.toBe(reason);
  expect(samples.measure("a", "command")).toBeUndefined();
});
