import type { TaskResult } from "../../model/result.ts";
import { formatBytes } from "../../report/format.ts";
import { oneLine, printable } from "./escape.ts";
import { say, style } from "./terminal.ts";

const MAX_LINES = 20;

/** Where the artifacts of a task lie and what could not be stored, on stderr. */
export function printArtifacts({ artifacts }: TaskResult): void {
  if (artifacts === undefined) return;
  const { stored, failed, left_out: leftOut, prefix } = artifacts;
  if (stored.length > 0)
    say(`stored ${stored.length} ${stored.length === 1 ? "artifact" : "artifacts"} below ${oneLine(prefix)}:`);
  for (const { url, bytes, key } of stored.slice(0, MAX_LINES))
    say(`  ${oneLine(key)} ${style("dim", `${formatBytes(bytes)} ${oneLine(url)}`)}`);
  if (stored.length > MAX_LINES) say(`  and ${stored.length - MAX_LINES} more (all of them: --json)`);
  for (const { key, error } of failed.slice(0, MAX_LINES))
    say(`${style("red", "not stored")} ${oneLine(key)}: ${error.code}: ${printable(error.message)}`);
  if (failed.length > MAX_LINES) say(`and ${failed.length - MAX_LINES} more failures (all of them: --json)`);
  const [first] = failed;
  if (first !== undefined) say(`${style("dim", "hint:")} ${printable(first.error.hint)}`);
  if (leftOut.length > 0) say(`left out: ${leftOut.slice(0, MAX_LINES).map(oneLine).join(", ")}`);
}
