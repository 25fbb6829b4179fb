import type { CopyBack, TaskEvent } from "../internal.ts";
import type { TaskResult } from "../model/result.ts";
import { printArtifacts } from "./artifacts-view.ts";
import { GuestOutput } from "./guest-output.ts";
import { printSummary } from "./summary.ts";
import { printable } from "./table.ts";
import { ProgressLine, say, style } from "./terminal.ts";

export interface ViewOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** What a person sees while a task runs. With --json nothing but the result is printed. */
export class RunView {
  readonly #options: ViewOptions;
  readonly #progress = new ProgressLine();
  readonly #guest = new GuestOutput();
  readonly #notes: string[] = [];
  #keptId: string | undefined;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  event(event: TaskEvent): void | Promise<void> {
    if (event.type === "output") return this.output(event.stream, event.chunk);
    if (this.#options.json || this.#options.quiet) return;
    if (event.type === "progress") this.#progress.update(printable(event.message));
    if (event.type === "call_started") this.#progress.update(`${event.index + 1}. ${printable(event.title)}`);
    if (event.type === "call_finished") this.#progress.clear();
  }

  async output(stream: "stdout" | "stderr", chunk: Buffer): Promise<void> {
    if (this.#options.json) return;
    this.#progress.clear();
    await this.#guest.write(stream === "stdout" ? process.stdout : process.stderr, chunk);
  }

  kept(id: string): void {
    this.#keptId = id;
  }

  /** `undefined`: nothing could be copied back. */
  copiedBack(copied: CopyBack | undefined): void {
    if (copied === undefined) {
      this.#notes.push("nothing was copied back: the sandbox is gone or the task was cancelled");
      return;
    }
    const { written, deleted, withheld } = copied;
    if (written.length + deleted.length > 0)
      this.#notes.push(`copied back: ${written.length} written, ${deleted.length} deleted`);
    if (withheld.length === 0) return;
    this.#notes.push(
      `${style("yellow", "withheld")} (tools execute these unasked; --allow-exec-config copies them): ${withheld.map(printable).join(", ")}`,
    );
  }

  finish(result: TaskResult): void {
    this.#progress.clear();
    const id = this.#keptId;
    if (this.#options.json) {
      const shown = id === undefined ? result : { ...result, kept_sandbox_id: id };
      process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
      return;
    }
    if (!this.#options.quiet) {
      sayValue(result);
      printSummary(result);
      printArtifacts(result);
      for (const note of this.#notes) say(note);
    }
    if (id === undefined) return;
    const short = id.slice(4, 12);
    say(`kept sandbox ${style("bold", id)}: paddock exec ${short} COMMAND, paddock kill ${short}`);
  }
}

const MAX_VALUE_LENGTH = 500;

function shorten(text: string): string {
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}... (all of it: --json)` : text;
}

/** The value of the last expression, when one call is all there is. */
function sayValue({ values }: TaskResult): void {
  const [only, ...more] = values;
  if (more.length > 0 || typeof only?.value !== "string" || only.guest_error !== undefined) return;
  say(`${style("dim", "value:")} ${printable(shorten(only.value))}`);
}
