import {
  COMPARE_ROWS,
  type CompareKey,
  type CompareRow,
  type Comparison,
  type Measure,
  type Measured,
  type RanTier,
  type UnavailableTier,
} from "../model/comparison.ts";

/** A comparison as text, the same for terminal, Markdown and HTML: one column per tier that ran. */
export interface ComparisonCells {
  /** Names of the tiers, in the order asked. */
  readonly tiers: readonly string[];
  readonly figures: readonly CellRow[];
  readonly facts: readonly CellRow[];
  /** Why a figure is missing, and what the figures were measured on. */
  readonly notes: readonly string[];
  readonly unavailable: readonly string[];
}

export interface CellRow {
  readonly title: string;
  readonly cells: readonly string[];
  /** Number of samples; absent for facts and ratios. */
  readonly n?: number;
}

export const FIGURES_TITLE = "p50 / p95";

const NOTHING = "–";

export function makeComparisonCells(comparison: Comparison): ComparisonCells {
  const ran = listRan(comparison);
  return {
    tiers: ran.map(({ name }) => name),
    figures: [...COMPARE_ROWS.flatMap((row) => figureRow(row, ran)), ...ratioRows(comparison, ran)],
    facts: factRows(ran),
    notes: [...machineNotes(comparison), ...missingNotes(ran)],
    unavailable: comparison.tiers
      .filter((tier): tier is UnavailableTier => tier.status === "unavailable")
      .map(({ name, code, reason, hint }) => `${name}: ${code}: ${reason} (${hint})`),
  };
}

export function listRan({ tiers }: Comparison): readonly RanTier[] {
  return tiers.filter((tier): tier is RanTier => tier.status === "ran");
}

export function measured(measure: Measure | undefined): Measured | undefined {
  return measure === undefined || "missing" in measure ? undefined : measure;
}

/** Two to three digits are what a shared machine's figures bear. */
export function formatFigure(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size < 0.1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0);
}

export function formatMeasured(measure: Measured): string {
  return `${formatFigure(measure.p50)} / ${formatFigure(measure.p95)}`;
}

/** A row that no tier has a figure for is left out; its reasons stand in the notes. */
function figureRow({ key, title, unit }: CompareRow, ran: readonly RanTier[]): CellRow[] {
  const found = ran.map((tier) => measured(tier.measures[key]));
  const first = found.find((measure) => measure !== undefined);
  if (first === undefined) return [];
  const cells = found.map((measure) => (measure === undefined ? NOTHING : formatMeasured(measure)));
  return [{ title: `${title}, ${unit}`, cells, n: first.n }];
}

function ratioRows({ plain_spawn }: Comparison, ran: readonly RanTier[]): CellRow[] {
  const row = (title: string, key: CompareKey, plain: (tier: RanTier) => Measured | undefined): CellRow => ({
    title,
    cells: ran.map((tier) => ratio(measured(tier.measures[key]), plain(tier))),
  });
  return [
    row("ratio: first command to plain `docker run`", "create_first", (tier) => measured(tier.measures.plain_run)),
    row("ratio: warm command to plain `docker exec`", "command", (tier) => measured(tier.measures.plain_exec)),
    row("ratio: warm command to plain `true` on the host", "command", () => plain_spawn),
  ].filter(({ cells }) => cells.some((cell) => cell !== NOTHING));
}

function ratio(ours: Measured | undefined, plain: Measured | undefined): string {
  return ours === undefined || plain === undefined ? NOTHING : formatFigure(ours.p50 / plain.p50);
}

function factRows(ran: readonly RanTier[]): CellRow[] {
  const row = (title: string, tell: (tier: RanTier) => string): CellRow => ({ title, cells: ran.map(tell) });
  const yes = (value: boolean): string => (value ? "yes" : "no");
  return [
    row("version", ({ isolation: { driver, version } }) => (/^\d/.test(version) ? `${driver} ${version}` : version)),
    row("kernel the guest sees", ({ kernel_boundary, guest_kernel }) =>
      kernel_boundary === "shared" ? "the host's" : `its own (${guest_kernel})`,
    ),
    row("seccomp", ({ isolation }) => isolation.seccomp),
    row("user on the host", ({ isolation }) => (isolation.distinct_uid ? "one of its own" : "shared")),
    row("limits held by", ({ isolation }) => isolation.limits.mode),
    row("workspace", ({ isolation }) => isolation.limits.workspace),
    row("pause", ({ capabilities }) => yes(capabilities.pause)),
    row("survives its owner", ({ capabilities }) => yes(capabilities.survives_owner)),
    row("memory snapshot", ({ capabilities }) => yes(capabilities.memory_snapshot)),
    row("a kernel bug", ({ kernel_bug }) => kernel_bug),
  ];
}

function machineNotes({ machine, plain_spawn, plain_via, started_at, duration_ms }: Comparison): string[] {
  const { cpu, cores, memory_bytes, kernel, node, load } = machine;
  const gib = Math.round(memory_bytes / 1024 ** 3);
  return [
    `Machine: ${cores} cores (${cpu}), ${gib} GiB, kernel ${kernel}, Node ${node}, load ${load.map((value) => value.toFixed(2)).join(" -> ")}; ${started_at}, ${Math.round(duration_ms / 1000)} s.`,
    ...(plain_spawn === undefined
      ? []
      : [`Plain \`true\` on the host, no sandbox: ${formatMeasured(plain_spawn)} ms (n ${plain_spawn.n}).`]),
    ...(plain_via === undefined ? [] : [`Plain containers: same image and runtime, through the ${plain_via}.`]),
  ];
}

function missingNotes(ran: readonly RanTier[]): string[] {
  return ran.flatMap(({ name, driver, measures }) =>
    COMPARE_ROWS.filter(({ key }) => driver === "docker" || !key.startsWith("plain_")).flatMap(({ key, title }) => {
      const measure = measures[key];
      return measure !== undefined && "missing" in measure ? [`${name}, ${title}: ${measure.missing}`] : [];
    }),
  );
}
