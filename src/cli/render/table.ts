import { stripVTControlCharacters } from "node:util";
import { showCell } from "./escape.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** A plain text table; cells may carry terminal styles, and nothing else that is active. */
export function renderTable(columns: readonly Column[], given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map(showCell));
  const width = (text: string): number => stripVTControlCharacters(text).length;
  const widths = columns.map((column, index) =>
    Math.max(width(column.title), ...rows.map((row) => width(row[index] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? "";
        const pad = " ".repeat((widths[index] ?? 0) - width(cell));
        return column.align === "right" ? pad + cell : cell + pad;
      })
      .join("  ")
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)].join("\n");
}
