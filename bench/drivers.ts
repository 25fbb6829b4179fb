/**
 * The drivers side by side (`paddock compare` with its samples kept), against the budgets for them. BENCH_N samples of
 * each row, at least 30. Exit status 1 when a tier that ran misses a budget.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { renderTable } from "../src/cli/render/table.ts";
import { compareTiers } from "../src/compare/compare.ts";
import { COMPARE_ROWS, type CompareKey, type Comparison, type RanTier } from "../src/model/comparison.ts";
import { renderMarkdown } from "../src/report/comparison.ts";

interface Budget {
  readonly tier: string;
  readonly key: CompareKey;
  /** On the p50: at least this for rates, at most this for everything else. */
  readonly bound: number;
}

const BUDGETS: readonly Budget[] = [
  { tier: "docker:runc", key: "command", bound: 8 },
  { tier: "docker:runc", key: "create_first", bound: 450 },
  ...["bubblewrap", "docker:runc"].flatMap((tier): Budget[] => [
    { tier, key: "write", bound: 150 },
    { tier, key: "read", bound: 150 },
    { tier, key: "host_growth", bound: 64 },
  ]),
];

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());

const comparison = await compareTiers({
  n: Math.max(30, Number(process.env["BENCH_N"] ?? 30)),
  signal: interrupted.signal,
  onProgress: (text) => process.stderr.write(`${text}\n`),
  env: process.env,
});
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
const file = new URL(`drivers-${comparison.started_at.replaceAll(":", "-")}.json`, folder);
writeFileSync(file, JSON.stringify(comparison, null, 1));

const judged = BUDGETS.map((budget) => ({ ...budget, ...judge(comparison, budget) }));
process.stdout.write(`${renderMarkdown(comparison)}\n\n${renderBudgets()}\n\nraw samples: ${file.pathname}\n`);
if (judged.some(({ verdict }) => verdict === "missed")) process.exitCode = 1;

function judge({ tiers }: Comparison, { tier, key, bound }: Budget): { p50: string; verdict: string } {
  const ran = tiers.find((one): one is RanTier => one.name === tier && one.status === "ran");
  const measure = ran?.measures[key];
  if (measure === undefined || "missing" in measure) return { p50: "", verdict: "not measured" };
  const isKept = unitOf(key) === "MB/s" ? measure.p50 >= bound : measure.p50 <= bound;
  return { p50: measure.p50.toFixed(2), verdict: isKept ? "kept" : "missed" };
}

function renderBudgets(): string {
  return renderTable(
    [{ title: "budget" }, { title: "row" }, { title: "p50", align: "right" }, { title: "bound" }, { title: "" }],
    judged.map(({ tier, key, bound, p50, verdict }) => [
      tier,
      key,
      p50,
      `${unitOf(key) === "MB/s" ? ">=" : "<="} ${bound} ${unitOf(key)}`,
      verdict,
    ]),
  );
}

function unitOf(key: CompareKey): string {
  return COMPARE_ROWS.find((row) => row.key === key)?.unit ?? "";
}
