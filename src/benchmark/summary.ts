import { percentile } from "../lib/percentile.ts";
import type { BenchmarkSample, Distribution, RecipeSummary } from "../model/benchmark.ts";

/** One row per recipe, in the order in which the samples name them first. */
export function summariseRecipes(samples: readonly BenchmarkSample[]): RecipeSummary[] {
  const groups = Map.groupBy(samples, ({ chain, recipe }) => `${chain} ${recipe}`);
  return [...groups.values()].flatMap((group) => (group[0] === undefined ? [] : [summariseRecipe(group[0], group)]));
}

function summariseRecipe(
  { chain, recipe, node_type }: BenchmarkSample,
  all: readonly BenchmarkSample[],
): RecipeSummary {
  const completed = all.filter(({ status }) => status === "completed");
  const pick = (key: NumberKey): number[] => completed.flatMap((sample) => sample[key] ?? []);
  const add = (key: "calls_failed" | "attempts" | "retries"): number => all.reduce((sum, one) => sum + one[key], 0);
  return {
    chain,
    recipe,
    node_type,
    runs: all.length,
    completed: completed.length,
    success_rate: round(completed.length / all.length),
    tool_calls: mean(pick("tool_calls")),
    attempts_per_run: mean(pick("attempts")),
    retries_per_run: mean(pick("retries")),
    calls_failed: add("calls_failed"),
    attempts: add("attempts"),
    retries: add("retries"),
    latency_ms: {
      total: distribute(pick("total_ms")),
      network: distribute(pick("network_ms")),
      compute: distribute(pick("compute_ms")),
      other: distribute(pick("other_ms")),
      queue: distribute(pick("queue_ms")),
    },
    transit_bytes: {
      request: mean(pick("request_bytes")),
      response: mean(pick("response_bytes")),
      egress_tx: mean(pick("egress_tx_bytes")),
      egress_rx: mean(pick("egress_rx_bytes")),
      http_sent: mean(pick("http_sent_bytes")),
      http_received: mean(pick("http_received_bytes")),
    },
  };
}

type NumberKey = {
  [Key in keyof BenchmarkSample]: BenchmarkSample[Key] extends number | null ? Key : never;
}[keyof BenchmarkSample];

/** Undefined figures count for nothing: `null` where none is known. */
export function distribute(values: readonly number[]): Distribution | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return {
    n: sorted.length,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    mean: mean(sorted) ?? Number.NaN,
  };
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : round(values.reduce((sum, value) => sum + value, 0) / values.length);
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
