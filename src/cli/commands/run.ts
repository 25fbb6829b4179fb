import { statSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { type App, closeLostTasks, createApp } from "../../app.ts";
import { runRemotely } from "../../client/remote-place.ts";
import { loadConfig } from "../../config/config.ts";
import { PaddockError } from "../../errors/error.ts";
import type { RunTaskOptions } from "../../executor/executor.ts";
import { type LeaseHooks, makeOwnPlace } from "../../executor/lease-place.ts";
import type { ProgressEvent } from "../../executor/sinks/task-event.ts";
import { readAskedPath } from "../../fleet/workspaces/asked-path.ts";
import { WorkspaceFolder } from "../../fleet/workspaces/workspace-folder.ts";
import type { RemoteOptions } from "../../index.ts";
import { KeeperCall } from "../../keeper/client.ts";
import type { KeptResult } from "../../keeper/protocol.ts";
import { spawnKeeper } from "../../keeper/spawn.ts";
import type { TaskResult } from "../../model/result.ts";
import type { TaskInput } from "../../model/task.ts";
import { TaskStore } from "../../store/task-store.ts";
import { entryPoint } from "../process/entry.ts";
import { artifactsExitCode, exitCodeOf } from "../process/exit-code.ts";
import { catchInterrupts } from "../process/signals.ts";
import { RunView } from "../render/run-view.ts";
import { parseDuration } from "../render/units.ts";
import { addDriverOptions } from "../request/driver-options.ts";
import { addRemoteOptions, type RemoteFlags, readRemote } from "../request/remote-options.ts";
import { readTask, type TaskOptions } from "../request/task-input.ts";

interface RunOptions extends TaskOptions, RemoteFlags {
  readonly workspace?: string;
  readonly keep?: boolean;
  readonly ttl?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly copyBack?: readonly string[];
  /** True without a prefix. */
  readonly upload?: string | true;
}

const DEFAULT_TTL = "30m";

const collect = (value: string, previous: readonly string[] = []): readonly string[] => [...previous, value];

export function runCommand(): Command {
  return addRemoteOptions(addDriverOptions(new Command("run")))
    .description("run a file, code, a task JSON or a description in a new sandbox")
    .argument("[source]", "file (.py .js .sh .json .md), a quoted description, or - for standard input")
    .option("-c, --code <code>", "code to run instead of a file")
    .option("-t, --type <type>", "node type: python, javascript, file, web")
    .option("--timeout <duration>", "for the task and each call (default 300s and 60s)")
    .option("--call-timeout <duration>", "for each call")
    .option("--memory <size>", "memory limit (default 512m)")
    .option("--cpus <number>", "cores (default 1)")
    .option("--pids <number>", "processes and threads (default 128)")
    .option("--disk <size>", "workspace size (default 1g)")
    .option("--network <policy>", "egress: none, pypi, npm, host[:port], comma separated (default none)")
    .option("--env <name=value>", "environment variable, repeatable", collect)
    .option("--bare", "start from the bare node instead of its template")
    .option("--workspace <folder>", "copy this folder in, and the changes back")
    .option(
      "--copy-back <path>",
      "copy this back too although your tools may execute it, repeatable (. is all)",
      collect,
    )
    .option("--upload [prefix]", "store changed files, spilled outputs, result and report as artifacts")
    .option("--keep", "keep the sandbox for paddock exec")
    .option("--ttl <duration>", "how long a kept sandbox lives (default 30m)")
    .option("--kill-on-output", "end a call whose output exceeds its limit")
    .option("--json", "print the result with all records as JSON on stdout, and nothing else")
    .option("-q, --quiet", "no progress and no summary")
    .action(async (source: string | undefined, options: RunOptions) => {
      process.exitCode = await run(...giveBackSource(source, options));
    });
}

/** In `run --upload report.py` the parser takes the file for the option's prefix. */
function giveBackSource(source: string | undefined, options: RunOptions): [string | undefined, RunOptions] {
  const { upload } = options;
  if (source !== undefined || options.code !== undefined || typeof upload !== "string") return [source, options];
  const isFile = statSync(upload, { throwIfNoEntry: false })?.isFile() ?? false;
  return isFile ? [upload, { ...options, upload: true }] : [source, options];
}

async function run(source: string | undefined, options: RunOptions): Promise<number> {
  if (options.ttl !== undefined && !options.keep)
    throw new PaddockError("invalid_request", "--ttl needs --keep", {
      hint: "Only a kept sandbox has a time to live.",
    });
  checkCopyBack(options);
  const ttlMs = parseDuration(options.ttl ?? DEFAULT_TTL, "--ttl");
  const remote = await readRemote(options, options.code === undefined ? source : "-c", process.stdin);
  const task = await readTask(source, options, process.stdin);
  using interrupts = catchInterrupts();
  const view = new RunView(options);
  const result = await (remote
    ? runOnServer(task, remote, interrupts.signal, view)
    : options.keep
      ? runKept(task, ttlMs, options, interrupts.signal, view)
      : runOnce(task, options, interrupts.signal, view));
  view.finish(result);
  return exitCodeOf(result) || artifactsExitCode(result) || view.copyBackExitCode;
}

function checkCopyBack({ copyBack = [], workspace }: RunOptions): void {
  if (copyBack.length > 0 && workspace === undefined)
    throw new PaddockError("invalid_request", "--copy-back needs --workspace", {
      hint: "It names paths of the folder that --workspace copies in.",
    });
  for (const path of copyBack) readAskedPath(path);
}

/** `--upload` as the executor takes it. */
function storeOption({ upload }: RunOptions): Pick<RunTaskOptions, "store"> {
  if (upload === undefined) return {};
  return { store: upload === true ? {} : { prefix: upload } };
}

async function runOnServer(
  task: TaskInput,
  remote: RemoteOptions,
  signal: AbortSignal,
  view: RunView,
): Promise<TaskResult> {
  const store = new TaskStore(loadConfig(process.env, process.getuid?.() ?? 0).home.tasks);
  return await runRemotely(task, remote, store, { signal, watcher: view });
}

async function runOnce(task: TaskInput, options: RunOptions, signal: AbortSignal, view: RunView): Promise<TaskResult> {
  await using app = await createApp();
  closeLostTasks(app);
  const { workspace } = options;
  const hooks = workspace === undefined ? {} : workspaceHooks(app, workspace, options, signal, view);
  return await app.executor.runTask(task, {
    signal,
    place: makeOwnPlace(app.fleet, hooks),
    watcher: view,
    ...storeOption(options),
  });
}

function workspaceHooks(app: App, folder: string, options: RunOptions, signal: AbortSignal, view: RunView): LeaseHooks {
  const workspace = new WorkspaceFolder(app.fleet, folder);
  return {
    afterOpen: async (lease) => {
      await workspace.copyIn(lease, signal);
    },
    beforeClose: async (lease, records) => {
      const lost = lease.sandbox.end !== undefined || signal.aborted;
      view.copiedBack(lost ? undefined : await workspace.copyBack(lease, records, options.copyBack ?? [], signal));
    },
  };
}

async function runKept(
  task: TaskInput,
  ttlMs: number,
  options: RunOptions,
  signal: AbortSignal,
  view: RunView,
): Promise<TaskResult> {
  const { home } = loadConfig(process.env, process.getuid?.() ?? 0);
  const workspace = options.workspace === undefined ? {} : { workspace: resolve(options.workspace) };
  const start = { task, ttl_ms: ttlMs, ...workspace };
  const id = await spawnKeeper(home, entryPoint(), start, signal, (message) =>
    view.event({ type: "progress", message }),
  );
  view.kept(id);
  const request = { op: "task" as const, copy_back: [...(options.copyBack ?? [])], ...storeOption(options) };
  const call = new KeeperCall(home.run, id, request, {
    stdout: (chunk) => view.output({ stream: "stdout", chunk }),
    stderr: (chunk) => view.output({ stream: "stderr", chunk }),
    event: (event) => view.event(event as ProgressEvent),
  });
  const cancel = (): void => call.control({ op: "cancel" });
  await call.send(Buffer.from(JSON.stringify(task)));
  call.endInput();
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  const { result, copied_back: copiedBack } = (await call.json()) as KeptResult;
  if (options.workspace !== undefined) view.copiedBack(copiedBack);
  return result;
}
