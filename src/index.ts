import { type App, type AppOptions, closeLostTasks, createApp } from "./app.ts";
import type { RemoteOptions } from "./client/ractor/remote-options.ts";
import { runRemotely } from "./client/remote-place.ts";
import type { Config } from "./config/config.ts";
import type { ProbeFinding } from "./drivers/driver.ts";
import { PaddockError } from "./errors/error.ts";
import { compileLimits } from "./executor/compile.ts";
import type { RunTaskOptions } from "./executor/executor.ts";
import { checkInput } from "./executor/input-check.ts";
import { makeLeasePlace } from "./executor/lease-place.ts";
import type { TaskEvent } from "./executor/sinks/task-event.ts";
import { watchEvents } from "./executor/sinks/task-sink.ts";
import type { Lease } from "./fleet/fleet.ts";
import { readDuration } from "./lib/duration.ts";
import { isSandboxId } from "./model/ids.ts";
import type { NodeType } from "./model/node-type.ts";
import type { TaskResult } from "./model/result.ts";
import { type LimitsInput, TaskInput, type TaskRequest } from "./model/task.ts";
import { DAY_MS } from "./model/units.ts";
import type { ArtifactStore } from "./store/artifact-store.ts";

export type { ErrorCode } from "./errors/codes.ts";
export { ERROR_CODES } from "./errors/codes.ts";
export { PaddockError } from "./errors/error.ts";
export type { Isolation } from "./model/isolation.ts";
export type { NodeType } from "./model/node-type.ts";
export type { ToolCallRecord } from "./model/record.ts";
export type { RemoteIsolation, RemoteRecord, WireRequest } from "./model/remote.ts";
export type { TaskMetrics, TaskResult } from "./model/result.ts";
export type { Verdict } from "./model/verdict.ts";
export type {
  CodeOptions,
  CodeResult,
  ProcessOptions,
  ProcessResult,
  RunningProcess,
} from "./sandbox/process.ts";
export type { Sandbox } from "./sandbox/sandbox.ts";
export type { ArtifactStore } from "./store/artifact-store.ts";
export type { Lease, ProbeFinding, RemoteOptions, TaskEvent, TaskInput, TaskRequest };

export interface PaddockOptions {
  /** Over what environment and `config.json` say. */
  readonly config?: Partial<Config>;
  readonly env?: NodeJS.ProcessEnv;
}

export interface SandboxOptions {
  /** Default: python. */
  readonly nodeType?: NodeType;
  readonly limits?: LimitsInput;
  /** Egress policy. Default: none. */
  readonly network?: string | readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly bare?: boolean;
  /**
   * How long the sandbox waits for another process to adopt it when this one dies without closing it: milliseconds or
   * `10m`, at most 7 days. Default: it ends with this process. `unsupported` where the driver cannot (bubblewrap).
   */
  readonly survive?: string | number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string) => void;
}

/** A fleet on this machine. Close it (or use `await using`): every sandbox it owns ends with it. */
export interface Paddock extends AsyncDisposable {
  /**
   * Runs one task in a sandbox of its own (or in `lease`). Throws for bad input, and what `onEvent` throws; everything
   * else is in the result.
   */
  run(task: TaskRequest, options?: RunOptions): Promise<TaskResult>;
  /** A sandbox to use step by step: `lease.sandbox` has processes, code, files and ports. */
  open(options?: SandboxOptions): Promise<Lease>;
  /**
   * Takes over a sandbox that `open({survive})` of a dead process left: processes, files and egress policy go on. Of
   * several adopters one gets it. Throws `not_found`, `unsupported`, `adoption_refused` (it has an owner, or is not fit
   * to go on; then it is removed).
   */
  adopt(sandboxId: string, options?: { readonly signal?: AbortSignal }): Promise<Lease>;
  /** What tasks stored; closed with the fleet. */
  readonly artifacts: ArtifactStore;
  /** What `paddock doctor` shows. */
  doctor(): Promise<readonly ProbeFinding[]>;
}

/**
 * `lease` runs the task in that sandbox and leaves it alive; `store` keeps what it made as artifacts
 * (docs/artifacts.md).
 */
export type RunOptions = Pick<RunTaskOptions, "signal" | "store"> & {
  readonly lease?: Lease;
  /** A promise gives back-pressure to output. */
  readonly onEvent?: (event: TaskEvent) => void | Promise<void>;
  /** Run on a Ractor server instead (docs/remote.md). `unsupported` together with `lease` or `store`. */
  readonly remote?: RemoteOptions;
};

/** Makes a fleet from environment, `config.json` and options. Starts nothing until the first task or sandbox. */
export async function createPaddock(options: PaddockOptions = {}): Promise<Paddock> {
  const app = await createApp(options satisfies AppOptions);
  let tidied = false;
  const tidyOnce = (): void => {
    if (!tidied) closeLostTasks(app);
    tidied = true;
  };
  return {
    run: async (task, runOptions = {}) => {
      const checked = checkInput(TaskInput, task, "task");
      tidyOnce();
      return await runTask(app, checked, runOptions);
    },
    open: async (sandbox = {}) => {
      const { nodeType: node_type, limits, network, env, bare } = sandbox;
      const given = checkInput(TaskInput, { node_type, limits, network, env, bare }, "open");
      tidyOnce();
      return await app.fleet.lease({
        nodeType: given.node_type ?? "python",
        limits: compileLimits(given.limits),
        network: given.network ?? "none",
        env: given.env ?? {},
        bare: given.bare ?? false,
        signal: sandbox.signal ?? new AbortController().signal,
        onProgress: sandbox.onProgress ?? (() => undefined),
        ...(sandbox.survive === undefined ? {} : { survive: { graceMs: readGrace(sandbox.survive) } }),
      });
    },
    adopt: async (sandboxId, { signal } = {}) => {
      if (!isSandboxId(sandboxId)) throw new PaddockError("not_found", `there is no sandbox ${sandboxId}`);
      tidyOnce();
      return await app.fleet.adopt(sandboxId, signal ?? new AbortController().signal);
    },
    artifacts: app.artifacts,
    doctor: () => app.fleet.probe(),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

const MAX_GRACE_MS = 7 * DAY_MS;

function readGrace(survive: string | number): number {
  const graceMs = typeof survive === "number" ? survive : readDuration(survive);
  if (graceMs !== undefined && graceMs >= 1 && graceMs <= MAX_GRACE_MS) return graceMs;
  throw new PaddockError("invalid_request", `survive is ${survive}`, {
    hint: "Give milliseconds, or a duration such as 30s, 10m or 1h; at most 7 days.",
  });
}

/** An error of the caller's own `onEvent` cancels the task and is thrown as it is. */
async function runTask(app: App, task: TaskInput, { onEvent, signal, ...options }: RunOptions): Promise<TaskResult> {
  const run = chooseRunner(app, task, options);
  if (onEvent === undefined) return await run(signal ? { signal } : {});
  const failed = new AbortController();
  const thrown: unknown[] = [];
  const fail = (error: unknown): void => {
    thrown.push(error);
    failed.abort();
  };
  const result = await run({
    signal: signal ? AbortSignal.any([signal, failed.signal]) : failed.signal,
    watcher: watchEvents((event) => {
      if (thrown.length > 0) return undefined;
      try {
        return onEvent(event)?.catch(fail);
      } catch (error) {
        fail(error);
        return undefined;
      }
    }),
  });
  if (thrown.length > 0) throw thrown[0];
  return result;
}

type Runner = (options: Pick<RunTaskOptions, "signal" | "watcher">) => Promise<TaskResult>;

function chooseRunner(
  app: App,
  task: TaskInput,
  { remote, lease, ...local }: Omit<RunOptions, "signal" | "onEvent">,
): Runner {
  const place = lease && { place: makeLeasePlace(lease) };
  if (remote === undefined) return (options) => app.executor.runTask(task, { ...local, ...place, ...options });
  if (lease !== undefined || local.store !== undefined)
    throw new PaddockError("unsupported", "a remote task has no lease and stores no artifacts", {
      hint: "Leave out lease and store, or run the task locally.",
    });
  return (options) => runRemotely(task, remote, app.store, options);
}
