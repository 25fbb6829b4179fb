import { expect, test } from "vitest";
import { compareBenchmarks, readBenchmark } from "../../src/benchmark/comparison.ts";
import type { BenchmarkSample } from "../../src/model/benchmark.ts";
import { FAILED, makeBenchmark, makeSample } from "./support.ts";

const compare = (before: Partial<BenchmarkSample>[], after: Partial<BenchmarkSample>[]) =>
  compareBenchmarks(makeBenchmark(before.map(makeSample)), makeBenchmark(after.map(makeSample)));

const figure = (result: ReturnType<typeof compare>, wanted: string) =>
  result.recipes[0]?.figures.find(({ key }) => key === wanted);

test("benchmark comparison - each figure has its ratio, its direction and what became of it", () => {
  const result = compare([{ total_ms: 100, request_bytes: 1000 }], [{ total_ms: 150, request_bytes: 500 }]);
  expect(figure(result, "total_p50")).toMatchObject({
    before: 100,
    after: 150,
    ratio: 1.5,
    better: "lower",
    change: "worse",
  });
  expect(figure(result, "request")).toMatchObject({ ratio: 0.5, better: "lower", change: "better" });
  expect(figure(result, "success")).toMatchObject({ ratio: 1, better: "higher", change: "same" });
  expect(result.worse).toEqual([
    "file read-text-file: total p50",
    "file read-text-file: total p95",
    "file read-text-file: total mean",
  ]);
});

test("benchmark comparison - fewer completed runs are worse, more are better", () => {
  const [good, bad] = [{}, FAILED];
  expect(figure(compare([good, good], [good, bad]), "success")).toMatchObject({
    before: 100,
    after: 50,
    change: "worse",
  });
  expect(figure(compare([good, bad], [good, good]), "success")).toMatchObject({ change: "better" });
});

test("benchmark comparison - runs that did not complete had no fewer attempts: only success says so", () => {
  const result = compare([{ attempts: 5, retries: 2 }], [{ ...FAILED, status: "not_run", attempts: 0 }]);
  expect(figure(result, "attempts")).toBeUndefined();
  expect(result.worse).toEqual(["file read-text-file: success"]);
});

test("benchmark comparison - noise is no change: 10 % or 2 ms of a time, 2 % of bytes, but any call and retry", () => {
  const change = (before: Partial<BenchmarkSample>, after: Partial<BenchmarkSample>, key: string) =>
    figure(compare([before], [after]), key)?.change;
  expect(change({ total_ms: 100 }, { total_ms: 110 }, "total_p50")).toBe("same");
  expect(change({ total_ms: 100 }, { total_ms: 111 }, "total_p50")).toBe("worse");
  expect(change({ network_ms: 1 }, { network_ms: 3 }, "network_p50")).toBe("same");
  expect(change({ response_bytes: 1000 }, { response_bytes: 1020 }, "response")).toBe("same");
  expect(change({ response_bytes: 1000 }, { response_bytes: 1021 }, "response")).toBe("worse");
  expect(change({ tool_calls: 3 }, { tool_calls: 4 }, "tool_calls")).toBe("worse");
});

test("benchmark comparison - from nothing to something has no ratio; nothing twice is the same", () => {
  const result = compare([{ retries: 0 }], [{ retries: 2 }]);
  expect(figure(result, "retries")).toMatchObject({ before: 0, after: 2, ratio: null, change: "worse" });
  expect(figure(compare([{}], [{}]), "retries")).toMatchObject({ ratio: 1, change: "same" });
});

test("benchmark comparison - what only one run has is named, and so is what was not alike", () => {
  const before = makeBenchmark([makeSample({ recipe: "old" }), makeSample({ compute_ms: null })]);
  const after = makeBenchmark([makeSample(), makeSample({ recipe: "new" })]);
  const other = { ...after, settings: { ...after.settings, concurrency: 4 }, machine: { ...after.machine, cores: 64 } };
  const result = compareBenchmarks(before, other);
  expect(result.recipes.map(({ recipe }) => recipe)).toEqual(["read-text-file"]);
  expect(result.unmatched).toEqual(["file old: only in the earlier run", "file new: only in this run"]);
  expect(result.differences).toEqual(["CPU: 2 x a CPU before, 64 x a CPU now", "tasks at a time: 1 before, 4 now"]);
  expect(figure(result, "compute_p50")).toBeUndefined();
});

test("benchmark comparison - a file of another schema version is refused by both numbers; so is what is no result", () => {
  const run = makeBenchmark([makeSample()]);
  expect(readBenchmark(JSON.stringify(run), "a.json")).toEqual(run);
  const refused = (text: string) => {
    try {
      return readBenchmark(text, "a.json");
    } catch (error) {
      return error;
    }
  };
  expect(refused(JSON.stringify({ ...run, schema: 7 }))).toMatchObject({
    code: "invalid_request",
    message: expect.stringMatching(/a\.json has schema version 7, this paddock writes 1/) as string,
  });
  for (const text of [
    "",
    "{}",
    "null",
    "[1]",
    JSON.stringify({ ...run, samples: 3 }),
    JSON.stringify({ ...run, extra: 1 }),
  ])
    expect(refused(text), text).toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("a.json") as string,
    });
});
