import { toPaddockError } from "../../errors/error.ts";
import { printable } from "./escape.ts";
import { say, style } from "./terminal.ts";

/** Shows an error with its hint and returns the exit code its row names. */
export function reportFailure(thrown: unknown, json: boolean): number {
  const error = toPaddockError(thrown);
  if (json) process.stdout.write(`${JSON.stringify({ error: error.toJSON() })}\n`);
  else {
    say(`${style(["red", "bold"], `error ${error.code}`)}: ${printable(error.message)}`);
    say(`${style("dim", "hint:")} ${printable(error.hint)}`);
    if (error.code === "internal" && error.stack) say(style("dim", printable(error.stack)));
  }
  return error.row.exitCode;
}
