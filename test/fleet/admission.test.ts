import { expect, test } from "vitest";
import { Admission } from "../../src/fleet/leases/admission.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";

const GIB = 1024 ** 3;

test("admission - counts requests, holds the sum of limits to the stated factor and gives shares back once", () => {
  const admission = new Admission({ overcommit: 2, memoryBytes: GIB, pids: 100 });
  const limits = { ...DEFAULT_LIMITS, memoryBytes: GIB };
  const requests = { memoryBytes: GIB / 8, pids: 10 };
  const release = admission.admit(requests, limits);
  admission.admit(requests, limits);
  expect(() => admission.admit(requests, limits)).toThrow(/memory limits/);
  release();
  release();
  admission.admit(requests, limits);
  expect(() => admission.admit(requests, limits)).toThrow(/memory limits/);
});

test("admission - processes and memory requests are bounded too", () => {
  const admission = new Admission({ overcommit: 100, memoryBytes: GIB, pids: 20 });
  expect(() => admission.admit({ memoryBytes: 2 * GIB, pids: 1 }, DEFAULT_LIMITS)).toThrow(/requested memory/);
  expect(() => admission.admit({ memoryBytes: 1, pids: 21 }, DEFAULT_LIMITS)).toThrow(/requested processes/);
});

test("admission - sandboxes are refused before their connections could use up the descriptors", () => {
  const admission = new Admission({ overcommit: 100, memoryBytes: 100 * GIB, descriptors: 450 });
  const requests = { memoryBytes: 1, pids: 1 };
  const release = admission.admit(requests, DEFAULT_LIMITS);
  admission.admit(requests, DEFAULT_LIMITS);
  expect(() => admission.admit(requests, DEFAULT_LIMITS)).toThrow(/descriptors/);
  release();
  admission.admit(requests, DEFAULT_LIMITS);
});
