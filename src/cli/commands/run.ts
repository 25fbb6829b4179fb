import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { type App, createApp } from "../../app.ts";
import { loadConfig } from "../../config/config.ts";
import { ERROR_CODES, isErrorCode } from "../../errors/codes.ts";
import { type CopyBack, type RunTaskOptions, type TaskEvent, WorkspaceFolder } from "../../internal.ts";
import { KeeperCall } from "../../keeper/client.ts";
import { spawnKeeper } from "../../keeper/spawn.ts";
import type { TaskResult } from "../../model/result.ts";
import type { TaskInput } from "../../model/task.ts";
import { catchInterrupts } from "../signals.ts";
import { printSummary } from "../summary.ts";
import { printable } from "../table.ts";
import { readTask, type TaskOptions } from "../task-input.ts";
import { ProgressLine, say, style, writeOut } from "../terminal.ts";
import { parseDuration } from "../units.ts";

interface RunOptions extends TaskOptions {
  readonly workspace?: string;
  readonly keep?: boolean;
  readonly ttl: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly allowExecConfig?: boolean;
  readonly killOnOutput?: boolean;
}

const collect = (value: string, previous: string[]): string[] => [...previous, value];

export function runCommand(): Command {
  return new Command("run")
    .description("run a file, code, a task JSON or a description in a new sandbox")
    .argument("[source]", "file (.py .js .sh .json), a quoted description, or - for standard input")
    .option("-c, --code <code>", "code to run instead of a file")
    .option("-t, --type <type>", "node type: python, javascript, file, web")
    .option("--timeout <duration>", "for the task and each call (default 300s and 60s)")
    .option("--call-timeout <duration>", "for each call")
    .option("--memory <size>", "memory limit (default 512m)")
    .option("--cpus <number>", "cores (default 1)")
    .option("--pids <number>", "processes and threads (default 128)")
    .option("--disk <size>", "workspace size (default 1g)")
    .option("--network <policy>", "egress: none, pypi, npm, host[:port], comma separated (default none)")
    .option("--env <name=value>", "environment variable, repeatable", collect, [])
    .option("--bare", "start from the bare node instead of its template")
    .option("--workspace <folder>", "copy this folder in, and the changes back")
    .option("--allow-exec-config", "also copy back changes to .git and other files that tools execute unasked")
    .option("--keep", "keep the sandbox for paddock exec")
    .option("--ttl <duration>", "how long a kept sandbox lives", "30m")
    .option("--kill-on-output", "end a call whose output exceeds its limit")
    .option("--json", "print the result with all records as JSON on stdout, and nothing else")
    .option("-q, --quiet", "no progress and no summary")
    .action(async (source: string | undefined, options: RunOptions) => {
      process.exitCode = await run(source, options);
    });
}

async function run(source: string | undefined, options: RunOptions): Promise<number> {
  const task = await readTask(source, options, process.stdin);
  using interrupts = catchInterrupts();
  const view = new RunView(options);
  const result = options.keep
    ? await runKept(task, options, interrupts.signal, view)
    : await runOnce(task, options, interrupts.signal, view);
  view.finish(result);
  return exitCodeOf(result);
}

async function runOnce(task: TaskInput, options: RunOptions, signal: AbortSignal, view: RunView): Promise<TaskResult> {
  await using app = await createApp();
  closeLostTasks(app);
  const hooks = options.workspace === undefined ? {} : workspaceHooks(app, options.workspace, options, signal, view);
  return await app.executor.runTask(task, {
    signal,
    onEvent: (event) => view.event(event),
    killOnOutput: options.killOnOutput ?? false,
    ...hooks,
  });
}

function workspaceHooks(
  app: App,
  folder: string,
  options: RunOptions,
  signal: AbortSignal,
  view: RunView,
): Partial<RunTaskOptions> {
  const workspace = new WorkspaceFolder(app.fleet, folder);
  return {
    afterOpen: async (lease) => {
      await workspace.copyIn(lease, signal);
    },
    beforeClose: async (lease, records) => {
      if (lease.sandbox.end) view.note("the sandbox is gone: nothing was copied back");
      else view.copiedBack(await workspace.copyBack(lease, records, options.allowExecConfig ?? false, signal));
    },
  };
}

async function runKept(task: TaskInput, options: RunOptions, signal: AbortSignal, view: RunView): Promise<TaskResult> {
  const { home } = loadConfig(process.env, process.getuid?.() ?? 0);
  const entry = fileURLToPath(new URL("../main.ts", import.meta.url));
  const start = {
    task,
    ttl_ms: parseDuration(options.ttl, "--ttl"),
    ...(options.workspace === undefined ? {} : { workspace: options.workspace }),
  };
  const id = await spawnKeeper(home, entry, start, signal, (message) => void view.event({ type: "progress", message }));
  view.note(
    `kept sandbox ${style("bold", id)}: paddock exec ${id.slice(4, 12)} -- COMMAND, paddock kill ${id.slice(4, 12)}`,
  );
  const call = new KeeperCall(
    home.run,
    id,
    { op: "task", kill_on_output: options.killOnOutput ?? false },
    {
      stdout: (chunk) => view.output("stdout", chunk),
      stderr: (chunk) => view.output("stderr", chunk),
      event: (event) => void view.event(event as TaskEvent),
    },
  );
  signal.addEventListener("abort", () => call.abandon(), { once: true });
  await call.send(Buffer.from(JSON.stringify(task)));
  call.endInput();
  return (await call.json()) as TaskResult;
}

/** What a person sees while a task runs. With --json nothing but the result is printed. */
class RunView {
  readonly #options: RunOptions;
  readonly #progress = new ProgressLine();
  readonly #notes: string[] = [];

  constructor(options: RunOptions) {
    this.#options = options;
  }

  event(event: TaskEvent): void | Promise<void> {
    if (event.type === "output") return this.output(event.stream, event.chunk);
    if (this.#silent) return;
    if (event.type === "progress") this.#progress.update(printable(event.message));
    if (event.type === "call_started") this.#progress.update(`${event.index + 1}. ${printable(event.title)}`);
    if (event.type === "call_finished") this.#progress.clear();
  }

  async output(stream: "stdout" | "stderr", chunk: Buffer): Promise<void> {
    if (this.#options.json) return;
    this.#progress.clear();
    await writeOut(stream === "stdout" ? process.stdout : process.stderr, chunk);
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  copiedBack({ written, deleted, withheld }: CopyBack): void {
    if (written.length + deleted.length > 0)
      this.note(`copied back: ${written.length} written, ${deleted.length} deleted`);
    if (withheld.length === 0) return;
    this.note(
      `${style("yellow", "withheld")} (tools execute these unasked; --allow-exec-config copies them): ${withheld.map(printable).join(", ")}`,
    );
  }

  finish(result: TaskResult): void {
    this.#progress.clear();
    if (this.#options.json) {
      process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      return;
    }
    if (this.#options.quiet) return;
    for (const { value, guest_error: failed } of result.values) {
      if (typeof value === "string" && failed === undefined && result.values.length === 1)
        say(`${style("dim", "value:")} ${printable(value)}`);
    }
    printSummary(result);
    for (const note of this.#notes) say(note);
  }

  get #silent(): boolean {
    return this.#options.json === true || this.#options.quiet === true;
  }
}

/** The guest's exit code where there is one; else 124 for a time-out, 137 for memory, 130 for a cancel, or the error's own. */
export function exitCodeOf(result: TaskResult): number {
  if (result.status === "completed") return result.exit_code ?? 0;
  const verdict = result.tool_calls.at(-1)?.verdict;
  if (result.status === "cancelled") return 130;
  if (verdict === "timeout" || result.error?.code === "timeout") return 124;
  if (verdict === "oom") return 137;
  if (result.exit_code !== undefined && result.exit_code !== 0) return result.exit_code;
  return result.error !== undefined && isErrorCode(result.error.code) ? ERROR_CODES[result.error.code].exitCode : 1;
}

function closeLostTasks(app: App): void {
  app.store.closeLost();
  app.store.prune(app.config.retentionMs, app.config.retentionBytes);
}
