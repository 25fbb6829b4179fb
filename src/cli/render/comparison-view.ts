import type { Comparison } from "../../model/comparison.ts";
import { FIGURES_TITLE, makeComparisonCells } from "../../report/comparison-cells.ts";
import { printable } from "./escape.ts";
import { type Column, renderTable } from "./table.ts";

const KERNEL_BUG_ROW = "a kernel bug";

/** The comparison for a terminal: figures, facts, then what is too long for a column. */
export function renderComparisonText(comparison: Comparison): string {
  const { tiers, figures, facts, notes, unavailable } = makeComparisonCells(comparison);
  const columns = (corner: string, align: "left" | "right"): readonly Column[] => [
    { title: corner },
    ...tiers.map((title) => ({ title, align })),
    ...(align === "right" ? [{ title: "n", align }] : []),
  ];
  const short = facts.filter(({ title }) => title !== KERNEL_BUG_ROW);
  const bugs = facts.find(({ title }) => title === KERNEL_BUG_ROW)?.cells ?? [];
  const figureRows = figures.map(({ title, cells, n }) => [title, ...cells, n === undefined ? "" : String(n)]);
  const parts = [
    ...(tiers.length === 0
      ? []
      : [
          renderTable(columns(FIGURES_TITLE, "right"), figureRows),
          renderTable(
            columns("isolation", "left"),
            short.map(({ title, cells }) => [title, ...cells]),
          ),
          tiers.map((tier, index) => `${tier}, a kernel bug: ${bugs[index] ?? ""}`).join("\n"),
        ]),
    notes.join("\n"),
    ...(unavailable.length === 0 ? [] : [unavailable.map((text) => `not available: ${text}`).join("\n")]),
  ];
  return printable(parts.join("\n\n"));
}
