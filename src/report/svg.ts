const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * Text made safe inside HTML and SVG; control characters show as U+FFFD. Every byte that came from a guest goes through
 * here.
 */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char).replace(/(?![\t\n])\p{Cc}/gu, "\ufffd");
}

export interface BarSegment {
  readonly value: number;
  readonly className: string;
  readonly title: string;
}

export interface BarRow {
  readonly label: string;
  readonly segments: readonly BarSegment[];
  /** Text right of the bar. */
  readonly note: string;
}

const LABEL_WIDTH = 270;
const BAR_WIDTH = 520;
const NOTE_WIDTH = 190;
const ROW_HEIGHT = 24;

/**
 * Horizontal stacked bars on one common scale, one row per call. `leastScale` keeps small whole numbers from filling
 * the width.
 */
export function stackedBars(rows: readonly BarRow[], caption: string, leastScale: number = Number.MIN_VALUE): string {
  const longest = Math.max(...rows.map((row) => sumOf(row)), leastScale);
  const height = rows.length * ROW_HEIGHT + 8;
  const width = LABEL_WIDTH + BAR_WIDTH + NOTE_WIDTH;
  const body = rows.map((row, index) => drawRow(row, index, longest)).join("\n");
  return `<figure><figcaption>${escapeHtml(caption)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(caption)}">${body}</svg></figure>`;
}

function drawRow(row: BarRow, index: number, longest: number): string {
  const y = index * ROW_HEIGHT + 4;
  let x = LABEL_WIDTH;
  const bars = row.segments.map((segment) => {
    const width = (segment.value / longest) * BAR_WIDTH;
    const bar = `<rect class="${segment.className}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(width, segment.value > 0 ? 1 : 0).toFixed(1)}" height="${ROW_HEIGHT - 7}" rx="2"><title>${escapeHtml(segment.title)}</title></rect>`;
    x += width;
    return bar;
  });
  const label = `<text class="label" x="${LABEL_WIDTH - 10}" y="${y + 13}" text-anchor="end">${escapeHtml(shorten(row.label, 34))}</text>`;
  const note = `<text class="note" x="${(x + 8).toFixed(1)}" y="${y + 13}">${escapeHtml(row.note)}</text>`;
  return [label, ...bars, note].join("");
}

function sumOf(row: BarRow): number {
  return row.segments.reduce((total, segment) => total + segment.value, 0);
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
