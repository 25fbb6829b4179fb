import { type AppOptions, createApp } from "./app.ts";
import type { Config } from "./config/config.ts";
import type { ProbeFinding } from "./drivers/driver.ts";
import { compileLimits } from "./executor/compile.ts";
import type { RunTaskOptions } from "./executor/executor.ts";
import type { Lease } from "./fleet/fleet.ts";
import type { NodeType } from "./model/node-type.ts";
import type { TaskResult } from "./model/result.ts";
import { type LimitsInput, TaskInput } from "./model/task.ts";

export type { ErrorCode } from "./errors/codes.ts";
export { ERROR_CODES } from "./errors/codes.ts";
export { PaddockError } from "./errors/error.ts";
export type { TaskEvent } from "./executor/executor.ts";
export type { Isolation } from "./model/isolation.ts";
export type { NodeType } from "./model/node-type.ts";
export type { ToolCallRecord } from "./model/record.ts";
export type { TaskMetrics, TaskResult } from "./model/result.ts";
export type { Verdict } from "./model/verdict.ts";
export type { Sandbox } from "./sandbox/sandbox.ts";
export type { TaskInput };

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
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string) => void;
}

/** A fleet on this machine. Close it (or use `await using`): every sandbox it owns ends with it. */
export interface Paddock extends AsyncDisposable {
  /** Runs one task in a sandbox of its own. Throws for bad input only; everything else is in the result. */
  run(
    task: TaskInput,
    options?: Pick<RunTaskOptions, "signal" | "onEvent" | "lease" | "killOnOutput">,
  ): Promise<TaskResult>;
  /** A sandbox to use step by step: `lease.sandbox` has processes, code, files and ports. */
  open(options?: SandboxOptions): Promise<Lease>;
  /** What `paddock doctor` shows. */
  doctor(): Promise<readonly ProbeFinding[]>;
}

/** Makes a fleet from environment, `config.json` and options. Starts nothing until the first task or sandbox. */
export async function createPaddock(options: PaddockOptions = {}): Promise<Paddock> {
  const app = await createApp(options satisfies AppOptions);
  return {
    run: (task, runOptions) => app.executor.runTask(TaskInput.parse(task), runOptions),
    open: (sandbox = {}) =>
      app.fleet.lease({
        nodeType: sandbox.nodeType ?? "python",
        limits: compileLimits(sandbox.limits),
        network: sandbox.network ?? "none",
        env: sandbox.env ?? {},
        bare: sandbox.bare ?? false,
        signal: sandbox.signal ?? new AbortController().signal,
        onProgress: sandbox.onProgress ?? (() => undefined),
      }),
    doctor: () => app.driver.probe(),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}
