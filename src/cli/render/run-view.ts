import { ERROR_CODES } from "../../errors/codes.ts";
import type { OutputEvent, ProgressEvent } from "../../executor/sinks/task-event.ts";
import type { TaskSink } from "../../executor/sinks/task-sink.ts";
import type { CopyBack } from "../../fleet/workspaces/workspace-folder.ts";
import type { TaskResult } from "../../model/result.ts";
import { printArtifacts } from "./artifacts-view.ts";
import { oneLine, printable } from "./escape.ts";
import { GuestOutput } from "./guest-output.ts";
import { printSummary } from "./summary.ts";
import { ProgressLine, say, style } from "./terminal.ts";

export interface ViewOptions {
  /** The folder that the changes of the task are to be copied back to. */
  readonly workspace?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/**
 * What a person sees while a task runs. With --json nothing but the result is printed, and on stderr that changes are
 * lost.
 */
export class RunView implements TaskSink {
  readonly #options: ViewOptions;
  readonly #progress = new ProgressLine();
  readonly #guest = new GuestOutput();
  readonly #notes: string[] = [];
  #keptId: string | undefined;
  #copied: CopyBack | undefined;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  event(event: ProgressEvent): void {
    if (this.#options.json || this.#options.quiet) return;
    if (event.type === "progress") this.#progress.update(printable(event.message));
    if (event.type === "call_started") this.#progress.update(`${event.index + 1}. ${printable(event.title)}`);
  }

  call(): void {
    this.#progress.clear();
  }

  async output({ stream, chunk }: Pick<OutputEvent, "stream" | "chunk">): Promise<void> {
    if (this.#options.json) return;
    this.#progress.clear();
    await this.#guest.write(stream === "stdout" ? process.stdout : process.stderr, chunk);
  }

  kept(id: string): void {
    this.#keptId = id;
  }

  /** `undefined`: nothing could be copied back. */
  copiedBack(copied: CopyBack | undefined): void {
    this.#copied = copied;
    if (copied === undefined) return;
    const { written, deleted, withheld } = copied;
    if (written.length + deleted.length > 0)
      this.#notes.push(`copied back: ${written.length} written, ${deleted.length} deleted`);
    const [first] = withheld;
    if (first === undefined) return;
    const how = `your tools may execute these unasked; --copy-back PATH brings one, such as ${quote(oneLine(first))}`;
    this.#notes.push(`${style("yellow", "withheld")} (${how}): ${withheld.map(oneLine).join(", ")}`);
  }

  /** 0, or the exit code for changes that the folder did not get. */
  get copyBackExitCode(): number {
    return this.#isCopyMissing ? ERROR_CODES.sandbox_lost.exitCode : 0;
  }

  get #isCopyMissing(): boolean {
    return this.#options.workspace !== undefined && this.#copied === undefined;
  }

  finish(result: TaskResult): void {
    this.#progress.clear();
    this.#show(result);
    if (this.#isCopyMissing) say(`${style(["red", "bold"], "--workspace")}: ${explainMissingCopy(result)}`);
    this.#showKept();
  }

  #show(result: TaskResult): void {
    if (this.#options.json) {
      process.stdout.write(`${JSON.stringify({ ...result, ...this.#extras() }, null, 2)}\n`);
      return;
    }
    if (!this.#options.quiet) {
      sayValue(result);
      printSummary(result);
      printArtifacts(result);
      for (const note of this.#notes) say(note);
    }
  }

  #extras(): Record<string, unknown> {
    return {
      ...(this.#keptId === undefined ? {} : { kept_sandbox_id: this.#keptId }),
      ...(this.#options.workspace === undefined ? {} : { copied_back: this.#copied ?? null }),
    };
  }

  #showKept(): void {
    const id = this.#keptId;
    if (id === undefined || this.#options.json) return;
    const short = id.slice(4, 12);
    say(`kept sandbox ${style("bold", id)}: paddock exec ${short} COMMAND, paddock kill ${short}`);
  }
}

const quote = (path: string): string => (/^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

function explainMissingCopy({ status, tool_calls: calls, error }: TaskResult): string {
  if (status === "cancelled") return "nothing was copied back: the task was cancelled";
  if (calls.some((record) => record.sandbox_killed))
    return "nothing was copied back: the sandbox was killed with a call, so its changes are lost";
  if (status === "completed" || calls.some((record) => record.files_unknown))
    return "nothing was copied back: the sandbox is gone, or its changes are not known";
  return `the changes were not copied back, or not all of them${error === undefined ? "" : `: ${printable(error.message)}`}`;
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
