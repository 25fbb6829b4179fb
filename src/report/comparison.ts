import { COMPARE_ROWS, type Comparison } from "../model/comparison.ts";
import {
  type CellRow,
  type ComparisonCells,
  FIGURES_TITLE,
  formatMeasured,
  listRan,
  makeComparisonCells,
  measured,
} from "./comparison-cells.ts";
import { renderPage } from "./page.ts";
import { type BarRow, escapeHtml, stackedBars } from "./svg.ts";

/** The comparison as a self-contained page: its table, a plot per row and what each tier stands for. */
export function renderComparison(comparison: Comparison, made: Date): string {
  const cells = makeComparisonCells(comparison);
  const sections = [
    section("Figures", table(FIGURES_TITLE, cells.tiers, cells.figures, true), list(cells.notes)),
    section("Isolation", table("", cells.tiers, cells.facts, false)),
    section("Plots (p50, one scale per plot)", ...plots(comparison)),
    ...(cells.unavailable.length > 0 ? [section("Not available here", list(cells.unavailable))] : []),
  ];
  return renderPage("Paddock: drivers compared", describe(cells), sections.join("\n"), made);
}

/** The same table as Markdown. */
export function renderMarkdown(comparison: Comparison): string {
  const { tiers, figures, facts, notes, unavailable } = makeComparisonCells(comparison);
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [
    line([FIGURES_TITLE, ...tiers, "n"]),
    line(["---", ...tiers.map(() => "---"), "---"]),
    ...figures.map(({ title, cells, n }) => line([title, ...cells, n === undefined ? "" : String(n)])),
    ...facts.map(({ title, cells }) => line([title, ...cells, ""])),
    "",
    ...notes,
    ...unavailable.map((text) => `Not available: ${text}`),
  ].join("\n");
}

function describe({ tiers, unavailable }: ComparisonCells): string {
  return `${tiers.length} tiers${unavailable.length > 0 ? `, ${unavailable.length} not available` : ""}`;
}

function section(title: string, ...parts: readonly string[]): string {
  return `<section><h2>${escapeHtml(title)}</h2>\n${parts.join("\n")}</section>`;
}

function table(corner: string, tiers: readonly string[], rows: readonly CellRow[], hasSamples: boolean): string {
  const align = hasSamples ? ' class="n"' : "";
  const head = [
    `<th>${escapeHtml(corner)}</th>`,
    ...tiers.map((tier) => `<th${align}>${escapeHtml(tier)}</th>`),
    ...(hasSamples ? ['<th class="n">n</th>'] : []),
  ];
  const body = rows.map(({ title, cells, n }) =>
    [
      `<td>${escapeHtml(title)}</td>`,
      ...cells.map((cell) => `<td${align}>${escapeHtml(cell)}</td>`),
      ...(hasSamples ? [`<td class="n">${n ?? ""}</td>`] : []),
    ].join(""),
  );
  return `<table><thead><tr>${head.join("")}</tr></thead><tbody>${body.map((row) => `<tr>${row}</tr>`).join("\n")}</tbody></table>`;
}

function list(texts: readonly string[]): string {
  return texts.map((text) => `<p class="dim">${escapeHtml(text)}</p>`).join("\n");
}

function plots(comparison: Comparison): string[] {
  return COMPARE_ROWS.flatMap(({ key, title, unit }) => {
    const rows = listRan(comparison).flatMap(({ name, measures }): BarRow[] => {
      const measure = measured(measures[key]);
      if (measure === undefined) return [];
      const note = `${formatMeasured(measure)} ${unit}`;
      return [{ label: name, segments: [{ className: "cpu", value: Math.max(0, measure.p50), title: note }], note }];
    });
    return rows.length === 0 ? [] : [stackedBars(rows, `${title}, ${unit}`)];
  });
}
