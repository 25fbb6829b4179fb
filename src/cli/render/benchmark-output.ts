import { accessSync, constants, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { renderCsv } from "../../benchmark/csv.ts";
import { PaddockError } from "../../errors/error.ts";
import type { Benchmark, BenchmarkComparison } from "../../model/benchmark.ts";
import { renderBenchmark } from "../../report/benchmark.ts";
import { say } from "./terminal.ts";

/** Files that a benchmark leaves. */
export interface Outputs {
  readonly csv?: string;
  readonly jsonOut?: string;
  readonly html?: string;
}

const outputs = ({ csv, jsonOut, html }: Outputs): (readonly [string, string])[] =>
  Object.entries({ "--csv": csv, "--json-out": jsonOut, "--html": html }).flatMap(([option, path]) =>
    path === undefined ? [] : [[option, path] as const],
  );

/** A long measurement must not end with a file that cannot be made. Throws `invalid_request`. */
export function checkOutputs(options: Outputs): void {
  for (const [option, path] of outputs(options)) checkWritable(option, path);
}

function checkWritable(option: string, path: string): void {
  try {
    accessSync(dirname(resolve(path)), constants.W_OK);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Error(`${path} is a folder`);
  } catch (cause) {
    throw new PaddockError("invalid_request", `${option}: ${path} cannot be written`, {
      cause,
      hint: "Name a file in a folder that exists.",
    });
  }
}

export function writeOutputs(options: Outputs, run: Benchmark, comparison: BenchmarkComparison | undefined): void {
  const made: Readonly<Record<string, () => string>> = {
    "--csv": () => renderCsv(run),
    "--json-out": () => `${JSON.stringify(run, null, 1)}\n`,
    "--html": () => renderBenchmark(run, comparison, new Date()),
  };
  for (const [option, path] of outputs(options)) {
    writeFileSync(path, made[option]?.() ?? "");
    say(`${option.slice(2)}: ${path}`);
  }
}
