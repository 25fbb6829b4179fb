import { expect, test } from "vitest";
import { renderCsv } from "../../src/benchmark/csv.ts";
import { distribute, summariseRecipes } from "../../src/benchmark/summary.ts";
import { Benchmark } from "../../src/model/benchmark.ts";
import { FAILED, makeBenchmark, makeSample } from "./support.ts";

test("benchmark summary - percentiles are nearest ranks over all values, nothing is trimmed", () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(distribute(values)).toEqual({ n: 100, p50: 50, p95: 95, mean: 50.5 });
  expect(distribute([7])).toEqual({ n: 1, p50: 7, p95: 7, mean: 7 });
  expect(distribute([3, 1, 2])).toEqual({ n: 3, p50: 2, p95: 3, mean: 2 });
  expect(distribute([])).toBeNull();
});

test("benchmark summary - failed runs count in success, attempts and retries, and in no latency or byte", () => {
  const samples = [
    makeSample({ total_ms: 100, request_bytes: 10 }),
    makeSample({ run: 2, total_ms: 300, request_bytes: 30, attempts: 5, retries: 2 }),
    makeSample({ run: 3, total_ms: 9999, request_bytes: 9999, ...FAILED }),
    makeSample({ run: 4, ...FAILED, status: "not_run", tool_calls: 0, attempts: 0, total_ms: null }),
  ];
  expect(summariseRecipes(samples)).toMatchObject([
    {
      runs: 4,
      completed: 2,
      success_rate: 0.5,
      tool_calls: 3,
      attempts_per_run: 4,
      retries_per_run: 1,
      calls_failed: 2,
      attempts: 11,
      retries: 2,
      latency_ms: { total: { n: 2, p50: 100, p95: 300, mean: 200 } },
      transit_bytes: { request: 20 },
    },
  ]);
});

test("benchmark summary - a figure that nobody measured is null, never 0", () => {
  const unknown = { network_ms: null, compute_ms: null, other_ms: null, egress_tx_bytes: null } as const;
  const [summary] = summariseRecipes([makeSample({ source: "segments", ...unknown })]);
  expect(summary?.latency_ms).toMatchObject({ total: { n: 1 }, network: null, compute: null, other: null });
  expect(summary?.transit_bytes).toMatchObject({ egress_tx: null, http_sent: 500 });
  const [failed] = summariseRecipes([makeSample(FAILED)]);
  expect(failed).toMatchObject({ completed: 0, tool_calls: null, latency_ms: { total: null } });
});

test("benchmark summary - one row per recipe and chain, in the order of the samples", () => {
  const rows = summariseRecipes([
    makeSample({ chain: "gdp", recipe: "b" }),
    makeSample({ chain: "gdp", recipe: "a" }),
    makeSample({ chain: "gdp", recipe: "b", run: 2 }),
    makeSample({ chain: "web", recipe: "a" }),
  ]);
  expect(rows.map(({ chain, recipe, runs }) => [chain, recipe, runs])).toEqual([
    ["gdp", "b", 2],
    ["gdp", "a", 1],
    ["web", "a", 1],
  ]);
});

test("benchmark result - what is made is what its schema says", () => {
  const run = makeBenchmark([makeSample(), makeSample({ run: 2, ...FAILED })]);
  expect(Benchmark.parse(JSON.parse(JSON.stringify(run)))).toEqual(run);
});

test("benchmark csv - a row per recipe and run under stable columns; what is unknown is empty", () => {
  const [head, first, second, ...rest] = renderCsv(
    makeBenchmark([makeSample(), makeSample({ run: 2, ...FAILED, total_ms: null })]),
  ).split("\r\n");
  expect(head).toBe(
    "schema,chain,recipe,node_type,run,status,code,verdict,tool_calls,calls_failed,attempts,retries,total_ms,network_ms,compute_ms,other_ms,queue_ms,request_bytes,response_bytes,egress_tx_bytes,egress_rx_bytes,http_sent_bytes,http_received_bytes,source,started_at,agent,response_id,server_version",
  );
  expect(first).toBe(
    "1,file,read-text-file,file,1,completed,,,3,0,3,0,100,10,60,30,5,1000,2000,300,4000,500,6000,records,2026-01-01T00:00:00.000Z,bench-file-1-file-00,7b0c,0.1.0",
  );
  expect(second).toContain(",2,failed,nonzero,nonzero,3,1,3,0,,10,");
  expect(rest).toEqual([""]);
});

test("benchmark csv - words of a foreign server are quoted and never begin a formula", () => {
  const text = renderCsv(makeBenchmark([makeSample({ response_id: '=1+1,"x"', agent: "@a" })]));
  expect(text).toContain(`,'@a,"'=1+1,""x""",0.1.0\r\n`);
});
