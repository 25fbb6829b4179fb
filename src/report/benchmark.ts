import type { Benchmark, BenchmarkComparison, RecipeSummary } from "../model/benchmark.ts";
import {
  type CellTable,
  latencyParts,
  noteChanges,
  noteCircumstances,
  tabulateCalls,
  tabulateChanges,
  tabulateFailures,
  tabulateLatency,
  tabulateTransit,
} from "./benchmark-cells.ts";
import { formatBytes, formatMs } from "./format.ts";
import { renderPage } from "./page.ts";
import { type BarRow, escapeHtml, stackedBars } from "./svg.ts";

/**
 * The four metrics of a benchmark as a self-contained page, with plots, failures and, where there is one, the
 * comparison.
 */
export function renderBenchmark(run: Benchmark, comparison: BenchmarkComparison | undefined, made: Date): string {
  const failures = tabulateFailures(run);
  const sections = [
    section("Metrics", cards(run), list(noteCircumstances(run))),
    section("Tool calls and success", renderTable(tabulateCalls(run)), successPlot(run)),
    section("Latency", renderTable(tabulateLatency(run)), latencyPlot(run)),
    section("Data in transit, mean per run", renderTable(tabulateTransit(run)), transitPlot(run)),
    ...(failures.rows.length > 0 ? [section("Failures", renderTable(failures))] : []),
    ...(comparison === undefined ? [] : [section("Compared with an earlier run", ...changes(comparison))]),
    section(
      "Samples",
      `<details><summary>all ${run.samples.length}</summary><pre>${escapeHtml(JSON.stringify(run.samples, null, 1))}</pre></details>`,
    ),
  ];
  return renderPage("Paddock: agents measured", `${run.samples.length} tasks`, sections.join("\n"), made);
}

function cards({ samples, recipes }: Benchmark): string {
  const sum = (key: "tool_calls" | "retries" | "attempts"): number =>
    samples.reduce((total, one) => total + one[key], 0);
  const add = (read: (summary: RecipeSummary) => number | null | undefined): number =>
    recipes.reduce((total, summary) => total + (read(summary) ?? 0), 0);
  const completed = samples.filter(({ status }) => status === "completed").length;
  const rate = samples.length === 0 ? 0 : Math.round((completed / samples.length) * 1000) / 10;
  const card = (title: string, figure: string, note: string): string =>
    `<div>${title}<b>${escapeHtml(figure)}</b><span class="dim">${escapeHtml(note)}</span></div>`;
  return `<div class="metrics">
${card("tool calls", String(sum("tool_calls")), `in ${samples.length} tasks`)}
${card(
  "latency, all recipes once",
  formatMs(add(({ latency_ms }) => latency_ms.total?.mean)),
  `${formatMs(add(({ latency_ms }) => latency_ms.network?.mean))} network, ${formatMs(add(({ latency_ms }) => latency_ms.compute?.mean))} compute`,
)}
${card("success", `${rate} %`, `${sum("attempts")} attempts, ${sum("retries")} retries`)}
${card(
  "data in transit, all recipes once",
  formatBytes(add(({ transit_bytes: { request, response } }) => (request ?? 0) + (response ?? 0))),
  `egress ${formatBytes(add(({ transit_bytes: { egress_tx, egress_rx } }) => (egress_tx ?? 0) + (egress_rx ?? 0)))}`,
)}
</div>`;
}

const CLASSES: Readonly<Record<string, string>> = { network: "net", compute: "cpu", other: "prep" };

function latencyPlot({ recipes }: Benchmark): string {
  const known = recipes.map((summary) => ({ summary, parts: Object.entries(latencyParts(summary)) }));
  const rows = known.filter(({ parts }) => parts.length > 0);
  if (rows.length === 0) return "";
  const times = rows.map(({ summary, parts }): BarRow => {
    const segments = parts.map(([name, ms]) => segment(name, ms, formatMs(ms)));
    return { label: labelOf(summary), segments, note: formatMs(summary.latency_ms.total?.mean ?? 0) };
  });
  const shares = rows.map(({ summary, parts }): BarRow => {
    const whole = parts.reduce((sum, [, ms]) => sum + ms, 0);
    const percents = parts.map(([name, ms]) => [name, whole === 0 ? 0 : Math.round((ms / whole) * 100)] as const);
    const segments = percents.map(([name, percent]) => segment(name, percent, `${percent} %`));
    return { label: labelOf(summary), segments, note: percents.map(([, percent]) => `${percent} %`).join(", ") };
  });
  return [KEY, stackedBars(times, "Mean latency"), stackedBars(shares, "Its shares: network, compute, the rest")].join(
    "\n",
  );
}

const segment = (name: string, value: number, figure: string): BarRow["segments"][number] => ({
  className: CLASSES[name] ?? "prep",
  value,
  title: `${name} ${figure}`,
});

const KEY = `<p class="key dim"><span><i style="background:var(--net)"></i>network</span><span><i style="background:var(--cpu)"></i>compute</span><span><i style="background:var(--prep)"></i>the rest</span></p>`;

function successPlot({ recipes }: Benchmark): string {
  const rows = recipes.map((summary): BarRow => {
    const failed = summary.runs - summary.completed;
    const segments = [
      { className: "ok", value: summary.completed, title: `${summary.completed} completed` },
      { className: "bad", value: failed, title: `${failed} failed` },
    ];
    return { label: labelOf(summary), segments, note: `${summary.completed}/${summary.runs}` };
  });
  return rows.length === 0 ? "" : stackedBars(rows, "Runs that completed, and that failed");
}

function transitPlot({ recipes }: Benchmark): string {
  const rows = recipes.map((summary): BarRow => {
    const { request, response, egress_tx, egress_rx } = summary.transit_bytes;
    const parts = [
      { className: "in", name: "to the sandbox", bytes: request ?? 0 },
      { className: "out", name: "from the sandbox", bytes: response ?? 0 },
      { className: "net", name: "egress", bytes: (egress_tx ?? 0) + (egress_rx ?? 0) },
    ];
    const segments = parts.map(({ className, name, bytes }) => ({
      className,
      value: bytes,
      title: `${name} ${formatBytes(bytes)}`,
    }));
    const whole = parts.reduce((total, { bytes }) => total + bytes, 0);
    return { label: labelOf(summary), segments, note: formatBytes(whole) };
  });
  return rows.length === 0 ? "" : stackedBars(rows, "Mean bytes per run: to the sandbox, from the sandbox, egress");
}

function changes(comparison: BenchmarkComparison): string[] {
  return [list(noteChanges(comparison)), renderTable(tabulateChanges(comparison))];
}

const labelOf = ({ chain, recipe }: RecipeSummary): string => `${chain}: ${recipe}`;

const section = (title: string, ...parts: readonly string[]): string =>
  `<section><h2>${escapeHtml(title)}</h2>\n${parts.join("\n")}</section>`;

const list = (texts: readonly string[]): string =>
  texts.map((text) => `<p class="dim">${escapeHtml(text)}</p>`).join("\n");

const MOODS = { good: "verdict-ok", bad: "verdict-bad" } as const;

function renderTable({ columns, rows }: CellTable): string {
  if (rows.length === 0) return "";
  const head = columns.map(({ title, isNumber }) => `<th${isNumber ? ' class="n"' : ""}>${escapeHtml(title)}</th>`);
  const body = rows.map(({ cells, mood }) => {
    const last = cells.length - 1;
    const line = cells.map((cell, index) => {
      const classes = [
        ...(columns[index]?.isNumber ? ["n"] : []),
        ...(mood !== undefined && (index === last || columns[index]?.title === "success") ? [MOODS[mood]] : []),
      ];
      return `<td${classes.length > 0 ? ` class="${classes.join(" ")}"` : ""}>${escapeHtml(cell)}</td>`;
    });
    return `<tr>${line.join("")}</tr>`;
  });
  return `<table><thead><tr>${head.join("")}</tr></thead><tbody>${body.join("\n")}</tbody></table>`;
}
