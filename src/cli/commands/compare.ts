import { writeFileSync } from "node:fs";
import { Command, Option } from "commander";
import { compareTiers } from "../../compare/compare.ts";
import { parseTiers } from "../../compare/tier.ts";
import { PaddockError } from "../../errors/error.ts";
import type { Comparison } from "../../model/comparison.ts";
import { renderComparison, renderMarkdown } from "../../report/comparison.ts";
import { catchInterrupts } from "../process/signals.ts";
import { renderComparisonText } from "../render/comparison-view.ts";
import { printable } from "../render/escape.ts";
import { ProgressLine, say } from "../render/terminal.ts";

const DEFAULT_N = 30;
const QUICK_N = 5;
const MAX_N = 1000;
const EXIT_UNAVAILABLE = 69;

interface Options {
  readonly drivers?: string;
  readonly n?: string;
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly markdown?: boolean;
  readonly report?: string;
}

export function compareCommand(): Command {
  return new Command("compare")
    .description("measure every driver and runtime of this machine with one workload, beside what isolates each")
    .option("--drivers <list>", "what to compare, such as bubblewrap,docker:runc,docker:runsc (default: all)")
    .option("--n <number>", `samples of each row (default: ${DEFAULT_N}; slow rows take fewer)`)
    .addOption(new Option("--quick", `${QUICK_N} samples of each row`).conflicts("n"))
    .option("--json", "result with all samples as JSON")
    .addOption(new Option("--markdown", "table as Markdown").conflicts("json"))
    .option("--report <file>", "write an HTML report too")
    .action(compare);
}

async function compare(options: Options): Promise<void> {
  const tiers = options.drivers === undefined ? undefined : parseTiers(options.drivers);
  const n = options.quick ? QUICK_N : parseSamples(options.n);
  const progress = new ProgressLine();
  using interrupts = catchInterrupts();
  const comparison = await compareTiers({
    ...(tiers === undefined ? {} : { tiers }),
    n,
    signal: interrupts.signal,
    onProgress: (text) => progress.update(printable(text)),
    env: process.env,
  }).finally(() => progress.clear());
  if (options.report !== undefined) writeReport(options.report, comparison);
  process.stdout.write(`${render(comparison, options)}\n`);
  if (!comparison.tiers.some(({ status }) => status === "ran")) process.exitCode = EXIT_UNAVAILABLE;
}

function render(comparison: Comparison, { json, markdown }: Options): string {
  if (json) return JSON.stringify(comparison, null, 1);
  return markdown ? printable(renderMarkdown(comparison)) : renderComparisonText(comparison);
}

function parseSamples(text: string | undefined): number {
  if (text === undefined) return DEFAULT_N;
  const n = Number(text);
  if (/^\d+$/.test(text) && n >= 1 && n <= MAX_N) return n;
  throw new PaddockError("invalid_request", `--n is ${text}`, { hint: `Use a whole number from 1 to ${MAX_N}.` });
}

function writeReport(path: string, comparison: Comparison): void {
  try {
    writeFileSync(path, renderComparison(comparison, new Date()));
  } catch (cause) {
    throw new PaddockError("invalid_request", `the report cannot be written to ${path}`, {
      cause,
      hint: "Name a file in a folder that exists.",
    });
  }
  say(`report: ${path}`);
}
