import { expect, test } from "vitest";
import { compareBenchmarks } from "../../src/benchmark/comparison.ts";
import { renderBenchmarkText } from "../../src/cli/render/benchmark-view.ts";
import { renderBenchmark } from "../../src/report/benchmark.ts";
import { FAILED, makeBenchmark, makeSample } from "./support.ts";

const MADE = new Date(0);
const HOSTILE = `<img src=x onerror=alert(1)>"'&\u001b[31m`;

const hostile = makeBenchmark([
  makeSample(),
  makeSample({ run: 2, agent: HOSTILE, ...FAILED, failure: { code: HOSTILE, verdict: HOSTILE, message: HOSTILE } }),
]);

test("benchmark report - a self-contained page with the four metrics, plots, failures and the comparison", () => {
  const before = makeBenchmark([makeSample({ total_ms: 50 }), makeSample({ run: 2 })]);
  const page = renderBenchmark(hostile, compareBenchmarks(before, hostile), MADE);
  for (const text of [
    "tool calls",
    "latency",
    "success",
    "data in transit",
    "<svg",
    "<h2>Failures</h2>",
    "50 %",
    "WORSE",
  ])
    expect(page).toContain(text);
  expect(page).toContain("Machine of the client: 2 cores (a CPU), 8 GiB");
  expect(page).not.toMatch(/<script|<img|href=|NaN|undefined/);
  expect(page).not.toContain("\u001b");
});

test("benchmark report - without any completed run there are figures for success alone, and no plot of nothing", () => {
  const page = renderBenchmark(makeBenchmark([makeSample(FAILED)]), undefined, MADE);
  expect(page).toContain("0/1");
  expect(page).not.toMatch(/NaN|undefined|Compared/);
});

test("benchmark text - the terminal shows every metric, and controls no terminal", () => {
  const text = renderBenchmarkText(hostile, undefined);
  for (const word of [
    "runs ok",
    "1/2",
    "50 %",
    "total p50",
    "network p50",
    "compute p50",
    "egress received",
    "load 0.50 -> 1.50",
  ])
    expect(text).toContain(word);
  expect(text).toContain("\\x1b[31m");
  expect(text).not.toContain("\u001b");
  expect(text).not.toMatch(/NaN|undefined/);
});

test("benchmark text - a comparison shows what changed and counts what did not", () => {
  const [before, after] = [makeBenchmark([makeSample()]), makeBenchmark([makeSample({ total_ms: 400 })])];
  const text = renderBenchmarkText(after, compareBenchmarks(before, after));
  expect(text).toMatch(/file +read-text-file +total p50 +100 ms +400 ms +4\.00 +lower +WORSE/);
  expect(text).toContain("3 figures got worse, 13 are the same");
});
