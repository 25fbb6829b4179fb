import type {
  Benchmark,
  BenchmarkComparison,
  BenchmarkSample,
  Distribution,
  FigureChange,
  RecipeSummary,
} from "../model/benchmark.ts";
import { formatBytes, formatMs } from "./format.ts";

/** A table as text, the same for terminal and HTML. Numbers stand right. */
export interface CellTable {
  readonly columns: readonly { readonly title: string; readonly isNumber: boolean }[];
  readonly rows: readonly { readonly cells: readonly string[]; readonly mood?: "good" | "bad" }[];
}

const NOTHING = "–";

const table = (head: string, rows: CellTable["rows"]): CellTable => ({
  columns: head.split("|").map((title) => ({ title: title.replace("#", ""), isNumber: title.startsWith("#") })),
  rows,
});

/** Tool calls and success of each recipe. */
export function tabulateCalls({ recipes }: Benchmark): CellTable {
  return table(
    "chain|recipe|node|#runs ok|#success|#tool calls|#failed calls|#attempts|#retries",
    recipes.map((one) => ({
      cells: [
        one.chain,
        one.recipe,
        one.node_type,
        `${one.completed}/${one.runs}`,
        `${Math.round(one.success_rate * 1000) / 10} %`,
        one.tool_calls === null ? NOTHING : String(one.tool_calls),
        String(one.calls_failed),
        String(one.attempts),
        String(one.retries),
      ],
      ...(one.completed < one.runs ? { mood: "bad" as const } : {}),
    })),
  );
}

/** Latency of each recipe's completed runs, and how it splits. */
export function tabulateLatency({ recipes }: Benchmark): CellTable {
  return table(
    "chain|recipe|#n|#total p50|#p95|#mean|#network p50|#p95|#mean|#compute p50|#p95|#mean|#other p50|#queue p50",
    recipes.map(({ chain, recipe, latency_ms: { total, network, compute, other, queue } }) => ({
      cells: [
        chain,
        recipe,
        String(total?.n ?? 0),
        ...[total, network, compute].flatMap(spread),
        time(other?.p50),
        time(queue?.p50),
      ],
    })),
  );
}

/** Mean bytes per completed run. */
export function tabulateTransit({ recipes }: Benchmark): CellTable {
  return table(
    "chain|recipe|#request|#response|#egress sent|#egress received|#HTTP sent|#HTTP received",
    recipes.map(({ chain, recipe, transit_bytes: transit }) => ({
      cells: [
        chain,
        recipe,
        ...[
          transit.request,
          transit.response,
          transit.egress_tx,
          transit.egress_rx,
          transit.http_sent,
          transit.http_received,
        ].map(bytes),
      ],
    })),
  );
}

export function tabulateFailures({ samples }: Benchmark): CellTable {
  return table(
    "chain|run|recipe|status|code|verdict|message",
    samples
      .filter(({ failure }) => failure !== null)
      .map((sample) => ({ cells: describeFailure(sample), mood: "bad" as const })),
  );
}

function describeFailure({ chain, run, recipe, status, failure }: BenchmarkSample): string[] {
  const { code = NOTHING, verdict, message = "" } = failure ?? {};
  return [chain, String(run), recipe, status, code, verdict ?? NOTHING, message];
}

/** Figures that changed; those that stayed the same are counted in the notes. */
export function tabulateChanges({ recipes }: BenchmarkComparison): CellTable {
  return table(
    "chain|recipe|figure|#before|#now|#ratio|better is|change",
    recipes.flatMap(({ chain, recipe, figures }) =>
      figures
        .filter(({ change }) => change !== "same")
        .map((figure) => ({
          cells: [
            chain,
            recipe,
            figure.title,
            value(figure, figure.before),
            value(figure, figure.after),
            figure.ratio === null ? NOTHING : figure.ratio.toFixed(2),
            figure.better,
            figure.change === "worse" ? "WORSE" : figure.change,
          ],
          mood: figure.change === "worse" ? ("bad" as const) : ("good" as const),
        })),
    ),
  );
}

export function noteChanges({ before, differences, recipes, unmatched, worse }: BenchmarkComparison): string[] {
  const same = recipes.flatMap(({ figures }) => figures).filter(({ change }) => change === "same").length;
  return [
    `Compared with the run of ${before.started_at} (server ${before.version}, ${before.runs} runs): ${worse.length} figures got worse, ${same} are the same.`,
    ...differences.map((text) => `Not alike: ${text}.`),
    ...unmatched.map((text) => `Not compared: ${text}.`),
  ];
}

/** What the figures were measured on. */
export function noteCircumstances(run: Benchmark): string[] {
  const { machine, server, settings, samples, agents } = run;
  const gib = Math.round(machine.memory_bytes / 1024 ** 3);
  const failed = samples.filter(({ failure }) => failure !== null).length;
  const ready = agents.map(({ ready_ms }) => ready_ms).toSorted((a, b) => a - b);
  return [
    `${settings.runs} runs of ${settings.chains.join(", ")}, ${settings.concurrency} at a time: ${samples.length} tasks, ${failed} failed.`,
    `Server: ${server.own ? "started for this run on the same machine" : server.url}, version ${server.version}${server.items.length === 0 ? "; it announces no explicit work, so what it measures of a call is unknown" : ""}.`,
    `Machine of the client: ${machine.cores} cores (${machine.cpu}), ${gib} GiB, kernel ${machine.kernel}, Node ${machine.node}, load ${machine.load.map((load) => load.toFixed(2)).join(" -> ")}; ${run.started_at}, ${Math.round(run.duration_ms / 1000)} s.`,
    ...(settings.data === undefined ? [] : [`Data: ${settings.data}`]),
    ...(ready.length === 0
      ? []
      : [
          `An agent could take work ${formatMs(ready[Math.ceil(ready.length / 2) - 1] ?? 0)} after it was asked for (p50 of ${ready.length}).`,
        ]),
  ];
}

/** Latency of a recipe as parts that add up, for a plot; empty where nothing completed. */
export function latencyParts({
  latency_ms: { network, compute, other },
}: RecipeSummary): Readonly<Record<string, number>> {
  if (network === null || compute === null || other === null) return {};
  return { network: network.mean, compute: compute.mean, other: other.mean };
}

const spread = (one: Distribution | null): string[] => [time(one?.p50), time(one?.p95), time(one?.mean)];
const time = (ms: number | undefined): string => (ms === undefined ? NOTHING : formatMs(ms));
const bytes = (count: number | null): string => (count === null ? NOTHING : formatBytes(count));

function value({ unit }: FigureChange, figure: number): string {
  switch (unit) {
    case "ms":
      return formatMs(figure);
    case "B":
      return formatBytes(figure);
    case "%":
      return `${figure} %`;
    case "":
      return String(Math.round(figure * 100) / 100);
  }
}
