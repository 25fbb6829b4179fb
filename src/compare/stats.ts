import { percentile } from "../lib/percentile.ts";
import type { Measured } from "../model/comparison.ts";

/** Nearest-rank percentiles over all samples. `better` says which end is the good one: p95 lies at the other. */
export function summarise(samples: readonly number[], better: "lower" | "higher" = "lower"): Measured {
  const bestFirst = samples.toSorted((a, b) => (better === "lower" ? a - b : b - a));
  return {
    n: samples.length,
    p50: percentile(bestFirst, 0.5),
    p95: percentile(bestFirst, 0.95),
    min: Math.min(...samples),
    max: Math.max(...samples),
    samples: [...samples],
  };
}
