import { expect, test } from "vitest";
import { TokenBucket, TokenBuckets } from "../../src/lib/token-bucket.ts";

test("token buckets - a burst, then the rate, for each key alone", () => {
  let now = 0;
  const buckets = new TokenBuckets(10, 3, { now: () => now });
  expect([1, 2, 3, 4].map(() => buckets.take("a"))).toEqual([0, 0, 0, 100]);
  expect(buckets.take("b")).toBe(0);
  now = 50;
  expect(buckets.take("a")).toBe(50);
  now = 100;
  expect(buckets.take("a")).toBe(0);
  now = 100_000;
  expect([1, 2, 3, 4].map(() => buckets.take("a"))).toEqual([0, 0, 0, 100]);
});

test("token buckets - no more keys are kept than allowed, the latest ones", () => {
  const buckets = new TokenBuckets(1, 1, { maxKeys: 2, now: () => 0 });
  for (const key of ["a", "b", "a", "c"]) buckets.take(key);
  expect(buckets.take("a")).toBeGreaterThan(0);
  expect(buckets.take("b")).toBe(0);
});

test("token bucket - turns are booked: its burst at once, then one per interval; one that is not used is given back", () => {
  let now = 0;
  const bucket = new TokenBucket(20, 3, () => now);
  expect([1, 2, 3, 4, 5].map(() => bucket.book())).toEqual([0, 0, 0, 50, 100]);
  now = 1000;
  expect([1, 2, 3, 4].map(() => bucket.book())).toEqual([0, 0, 0, 50]);
  bucket.giveBack();
  expect(bucket.book()).toBe(50);
});
