import { z } from "zod";
import { Machine } from "./machine.ts";
import { NODE_TYPES } from "./node-type.ts";

/** One more with each change that makes figures of two files incomparable. */
export const BENCHMARK_SCHEMA = 1;

/**
 * What `paddock bench agents` runs, in order: chains of tasks over one workspace. docs/benchmark.md says what each
 * figure is.
 */
export const BENCHMARK_CHAINS = ["packages", "gdp", "express", "file", "web"] as const;
export type ChainName = (typeof BENCHMARK_CHAINS)[number];

const amount = z.number().min(0);
/** Null: nobody could measure it. */
const unsure = amount.nullable();
const word = z.string().max(1000);

const Failure = z.strictObject({ code: word, verdict: word.nullable(), message: word });

/** One task of one run. */
export const BenchmarkSample = z.strictObject({
  chain: z.enum(BENCHMARK_CHAINS),
  /** A recipe's name, or `read-text-file`, `download-csv`. */
  recipe: word,
  node_type: z.enum(NODE_TYPES),
  /** From 1. */
  run: z.int().min(1),
  /** `not_run`: a task before it in its chain failed, or there was no agent. */
  status: z.enum(["completed", "failed", "not_run"]),
  agent: word.nullable(),
  response_id: word.nullable(),
  started_at: word.nullable(),
  /** Where the calls' figures come from: the server's records, or a foreign server's segments. */
  source: z.enum(["records", "segments", "none"]),
  tool_calls: amount,
  calls_failed: amount,
  attempts: amount,
  retries: amount,
  /** From the POST to its terminal state, as the client saw it. */
  total_ms: unsure,
  network_ms: unsure,
  compute_ms: unsure,
  /** What of the total is neither: queue, sandbox, transfers, the server, the wire. */
  other_ms: unsure,
  /** Part of the rest: how long the task waited on the server before it began. */
  queue_ms: unsure,
  request_bytes: unsure,
  response_bytes: unsure,
  egress_tx_bytes: unsure,
  egress_rx_bytes: unsure,
  /** Bodies between client and server, polls included. */
  http_sent_bytes: amount,
  http_received_bytes: amount,
  failure: Failure.nullable(),
});

/** Nearest-rank percentiles; nothing is trimmed. */
const Distribution = z.strictObject({ n: z.int().min(1), p50: amount, p95: amount, mean: amount });

/** One recipe over all runs. Latencies and bytes are those of its completed runs; null where no run has the figure. */
const RecipeSummary = z.strictObject({
  chain: z.enum(BENCHMARK_CHAINS),
  recipe: word,
  node_type: z.enum(NODE_TYPES),
  runs: z.int().min(1),
  completed: z.int().min(0),
  success_rate: z.number().min(0).max(1),
  /** Means per completed run. */
  tool_calls: unsure,
  attempts_per_run: unsure,
  retries_per_run: unsure,
  /** Over all runs. */
  calls_failed: amount,
  attempts: amount,
  retries: amount,
  latency_ms: z.strictObject({
    total: Distribution.nullable(),
    network: Distribution.nullable(),
    compute: Distribution.nullable(),
    other: Distribution.nullable(),
    queue: Distribution.nullable(),
  }),
  /** Means per completed run. */
  transit_bytes: z.strictObject({
    request: unsure,
    response: unsure,
    egress_tx: unsure,
    egress_rx: unsure,
    http_sent: unsure,
    http_received: unsure,
  }),
});

const BenchmarkAgent = z.strictObject({
  chain: z.enum(BENCHMARK_CHAINS),
  run: z.int().min(1),
  node_type: z.enum(NODE_TYPES),
  name: word,
  /** From asking for it until it could take work. */
  ready_ms: amount,
});

/** The result of `paddock bench agents`; `--json` prints it, `--json-out` keeps it for `--compare`. */
export const Benchmark = z.strictObject({
  schema: z.literal(BENCHMARK_SCHEMA),
  started_at: word,
  duration_ms: amount,
  settings: z.strictObject({
    runs: z.int().min(1),
    concurrency: z.int().min(1),
    chains: z.array(z.enum(BENCHMARK_CHAINS)).min(1),
    /** The address without query, or `built in`; absent when no chain downloads. */
    data: word.optional(),
  }),
  server: z.strictObject({
    url: word,
    version: word,
    /** Kinds of explicit work that it announces; none on a stock server. */
    items: z.array(word),
    /** Started by the benchmark, on the same machine. */
    own: z.boolean(),
  }),
  /** Where the client ran. */
  machine: Machine,
  agents: z.array(BenchmarkAgent),
  recipes: z.array(RecipeSummary),
  samples: z.array(BenchmarkSample).max(100_000),
});

export type Benchmark = z.infer<typeof Benchmark>;
export type BenchmarkSample = z.infer<typeof BenchmarkSample>;
export type RecipeSummary = z.infer<typeof RecipeSummary>;
export type BenchmarkAgent = z.infer<typeof BenchmarkAgent>;
export type Distribution = z.infer<typeof Distribution>;

/** A figure of one recipe in two runs. */
export interface FigureChange {
  readonly key: string;
  readonly title: string;
  readonly unit: "" | "ms" | "B" | "%";
  readonly before: number;
  readonly after: number;
  /** After over before; null when the earlier figure was 0 and the later is not. */
  readonly ratio: number | null;
  readonly better: "lower" | "higher";
  readonly change: "better" | "worse" | "same";
}

/** An earlier run beside a later one. */
export interface BenchmarkComparison {
  readonly before: { readonly started_at: string; readonly version: string; readonly runs: number };
  /** What was not alike, so that ratios may say something about it and not about the code. */
  readonly differences: readonly string[];
  readonly recipes: readonly {
    readonly chain: ChainName;
    readonly recipe: string;
    readonly figures: readonly FigureChange[];
  }[];
  /** Recipes that only one of the two runs has. */
  readonly unmatched: readonly string[];
  /** `gdp download-clean-csv: total p50` for each figure that got worse. */
  readonly worse: readonly string[];
}
