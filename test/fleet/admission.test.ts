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

test("admission - a process that may open too few files for one sandbox says so instead of refusing each", () => {
  const few = new Admission({ overcommit: 1, descriptors: 256 });
  expect(few.describeDescriptors()).toMatchObject({ status: "failed", hint: expect.stringContaining("ulimit -n") });
  expect(() => few.assertDescriptors()).toThrow(/too few open files/);
  expect(new Admission({ overcommit: 1, descriptors: 400 }).describeDescriptors().status).toBe("warning");
  const enough = new Admission({ overcommit: 1, descriptors: 4096 });
  enough.assertDescriptors();
  expect(enough.describeDescriptors()).toEqual({
    name: "open files",
    status: "ok",
    detail: "room for 28 sandboxes at once",
  });
});

test("admission - twenty agents of 2,048 processes each do not get all numbers that the kernel has for processes", () => {
  const admission = new Admission({ overcommit: 100, memoryBytes: 100 * GIB, descriptors: 1e6, tasks: 24_576 });
  const limits = { ...DEFAULT_LIMITS, pids: 2048 };
  const requests = { memoryBytes: 1, pids: 1 };
  const releases = Array.from({ length: 12 }, () => admission.admit(requests, limits));
  expect(() => admission.admit(requests, limits)).toThrow(/process limits/);
  admission.admit(requests, { ...limits, pids: 0 });
  releases[0]?.();
  admission.admit(requests, limits);
  expect(() => admission.admit(requests, { ...limits, pids: 30_000 })).toThrow(/more than this machine can number/);
});
