import type { Benchmark, BenchmarkComparison } from "../../model/benchmark.ts";
import {
  type CellTable,
  noteChanges,
  noteCircumstances,
  tabulateCalls,
  tabulateChanges,
  tabulateFailures,
  tabulateLatency,
  tabulateTransit,
} from "../../report/benchmark-cells.ts";
import { printable } from "./escape.ts";
import { renderTable } from "./table.ts";

/**
 * The benchmark for a terminal: the four metrics per recipe, what they were measured on, failures, and the comparison.
 */
export function renderBenchmarkText(run: Benchmark, comparison: BenchmarkComparison | undefined): string {
  const parts = [
    tabulateCalls(run),
    tabulateLatency(run),
    tabulateTransit(run),
    noteCircumstances(run).join("\n"),
    tabulateFailures(run),
    ...(comparison === undefined ? [] : [tabulateChanges(comparison), noteChanges(comparison).join("\n")]),
  ];
  return printable(
    parts
      .map((part) => (typeof part === "string" ? part : render(part)))
      .filter((text) => text !== "")
      .join("\n\n"),
  );
}

function render({ columns, rows }: CellTable): string {
  if (rows.length === 0) return "";
  return renderTable(
    columns.map(({ title, isNumber }) => ({ title, align: isNumber ? "right" : "left" })),
    rows.map(({ cells }) => cells),
  );
}
