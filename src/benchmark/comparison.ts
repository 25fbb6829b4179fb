import { PaddockError } from "../errors/error.ts";
import { parseUntrustedJson } from "../lib/json.ts";
import {
  BENCHMARK_SCHEMA,
  Benchmark,
  type BenchmarkComparison,
  type FigureChange,
  type RecipeSummary,
} from "../model/benchmark.ts";

interface Figure {
  readonly key: string;
  readonly title: string;
  readonly unit: FigureChange["unit"];
  readonly better: FigureChange["better"];
  /** A part of the earlier figure: a smaller difference says nothing. */
  readonly tolerance: number;
  readonly read: (summary: RecipeSummary) => number | null | undefined;
}

const TIME = { unit: "ms", better: "lower", tolerance: 0.1 } as const;
const BYTES = { unit: "B", better: "lower", tolerance: 0.02 } as const;
const COUNT = { unit: "", better: "lower", tolerance: 0 } as const;

/** What two runs are compared by: the four metrics. */
const FIGURES: readonly Figure[] = [
  { key: "tool_calls", title: "tool calls", ...COUNT, read: (one) => one.tool_calls },
  { key: "total_p50", title: "total p50", ...TIME, read: (one) => one.latency_ms.total?.p50 },
  { key: "total_p95", title: "total p95", ...TIME, read: (one) => one.latency_ms.total?.p95 },
  { key: "total_mean", title: "total mean", ...TIME, read: (one) => one.latency_ms.total?.mean },
  { key: "network_p50", title: "network p50", ...TIME, read: (one) => one.latency_ms.network?.p50 },
  { key: "compute_p50", title: "compute p50", ...TIME, read: (one) => one.latency_ms.compute?.p50 },
  { key: "other_p50", title: "other p50", ...TIME, read: (one) => one.latency_ms.other?.p50 },
  {
    key: "success",
    title: "success",
    unit: "%",
    better: "higher",
    tolerance: 0,
    read: (one) => Math.round(one.success_rate * 1000) / 10,
  },
  { key: "attempts", title: "attempts per run", ...COUNT, read: (one) => one.attempts_per_run },
  { key: "retries", title: "retries per run", ...COUNT, read: (one) => one.retries_per_run },
  { key: "request", title: "request", ...BYTES, read: (one) => one.transit_bytes.request },
  { key: "response", title: "response", ...BYTES, read: (one) => one.transit_bytes.response },
  { key: "egress_tx", title: "egress sent", ...BYTES, read: (one) => one.transit_bytes.egress_tx },
  { key: "egress_rx", title: "egress received", ...BYTES, read: (one) => one.transit_bytes.egress_rx },
  { key: "http_sent", title: "HTTP sent", ...BYTES, read: (one) => one.transit_bytes.http_sent },
  { key: "http_received", title: "HTTP received", ...BYTES, read: (one) => one.transit_bytes.http_received },
];

/** Times closer together than this are the same, whatever their ratio. */
const CLOSE_MS = 2;

/** A result as `--json-out` kept it. Throws `invalid_request` for another schema version and for what is none. */
export function readBenchmark(text: string, name: string): Benchmark {
  let value: unknown;
  try {
    value = parseUntrustedJson(text);
  } catch (cause) {
    throw new PaddockError("invalid_request", `${name} is not JSON`, { cause });
  }
  const schema = (value as { readonly schema?: unknown } | null)?.schema;
  if (typeof schema === "number" && schema !== BENCHMARK_SCHEMA)
    throw new PaddockError(
      "invalid_request",
      `${name} has schema version ${schema}, this paddock writes ${BENCHMARK_SCHEMA}: their figures do not mean the same`,
      { hint: "Measure both runs with one version of paddock; --url reaches a server of another version." },
    );
  const parsed = Benchmark.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new PaddockError(
    "invalid_request",
    `${name} is no result of paddock bench agents: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
    { hint: "Give a file that --json-out wrote." },
  );
}

export function compareBenchmarks(before: Benchmark, after: Benchmark): BenchmarkComparison {
  const nameOf = ({ chain, recipe }: RecipeSummary): string => `${chain} ${recipe}`;
  const earlier = new Map(before.recipes.map((summary) => [nameOf(summary), summary]));
  const later = new Set(after.recipes.map(nameOf));
  const recipes = after.recipes.flatMap((summary) => {
    const old = earlier.get(nameOf(summary));
    if (old === undefined) return [];
    return [{ chain: summary.chain, recipe: summary.recipe, figures: compareRecipe(old, summary) }];
  });
  return {
    before: { started_at: before.started_at, version: before.server.version, runs: before.settings.runs },
    differences: listDifferences(before, after),
    recipes,
    unmatched: [
      ...[...earlier.keys()].filter((name) => !later.has(name)).map((name) => `${name}: only in the earlier run`),
      ...[...later].filter((name) => !earlier.has(name)).map((name) => `${name}: only in this run`),
    ],
    worse: recipes.flatMap(({ chain, recipe, figures }) =>
      figures.filter(({ change }) => change === "worse").map(({ title }) => `${chain} ${recipe}: ${title}`),
    ),
  };
}

function compareRecipe(before: RecipeSummary, after: RecipeSummary): FigureChange[] {
  return FIGURES.flatMap((figure) => {
    const [old, now] = [figure.read(before), figure.read(after)];
    return typeof old === "number" && typeof now === "number" ? [compareFigure(figure, old, now)] : [];
  });
}

function compareFigure(figure: Figure, before: number, after: number): FigureChange {
  const { key, title, unit, better, tolerance } = figure;
  const ratio = before === 0 ? (after === 0 ? 1 : null) : after / before;
  const close = Math.max(tolerance * before, unit === "ms" ? CLOSE_MS : 0);
  const isSame = Math.abs(after - before) <= close;
  const hasGrown = after > before;
  const change = isSame ? "same" : hasGrown === (better === "higher") ? "better" : "worse";
  return { key, title, unit, before, after, ratio, better, change };
}

/** What ratios between unlike runs may be the sign of, instead of the code. */
function listDifferences(before: Benchmark, after: Benchmark): string[] {
  const facts = (run: Benchmark): Readonly<Record<string, string>> => ({
    CPU: `${run.machine.cores} x ${run.machine.cpu}`,
    kernel: run.machine.kernel,
    Node: run.machine.node,
    runs: String(run.settings.runs),
    "tasks at a time": String(run.settings.concurrency),
    chains: run.settings.chains.join(" "),
    data: run.settings.data ?? "none",
    server: run.server.own ? "its own" : run.server.url,
    "server version": run.server.version,
  });
  const [old, now] = [facts(before), facts(after)];
  return Object.keys(now).flatMap((name) =>
    old[name] === now[name] ? [] : [`${name}: ${old[name] ?? ""} before, ${now[name] ?? ""} now`],
  );
}
