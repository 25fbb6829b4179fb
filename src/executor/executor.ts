import type { Fleet, Lease } from "../fleet/fleet.ts";
import { Deadline } from "../lib/deadline.ts";
import { makeTaskId, type TaskId } from "../model/ids.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { CallValue, TaskResult } from "../model/result.ts";
import type { TaskInput } from "../model/task.ts";
import type { ArtifactStore } from "../store/artifact-store.ts";
import type { TaskStore } from "../store/task-store.ts";
import type { ObjectAccess } from "../tools/tool.ts";
import { compileLimits } from "./compile.ts";
import { planTask, type TaskPlan } from "./planner.ts";
import { openCall, openTask, type TaskScope } from "./scope.ts";
import { FileJournal } from "./sinks/file-journal.ts";
import { joinSinks, type TaskSink } from "./sinks/task-sink.ts";
import { type StoreRequest, TaskArtifactWriter } from "./task-artifacts.ts";
import { frameTask } from "./task-frame.ts";
import { describeTask } from "./task-result.ts";
import { runToolCall } from "./tool-call.ts";

export interface RunTaskOptions {
  readonly signal?: AbortSignal;
  /** Keeps the task. Default: a journal in the data folder. */
  readonly sink?: TaskSink;
  /** Is told besides, after the sink. */
  readonly watcher?: TaskSink;
  /** Run in this sandbox instead of a new one; it is left alive. */
  readonly lease?: Lease;
  /** Called before the sandbox of the task is closed, also after a failure: copy results out here. */
  readonly beforeClose?: (lease: Lease, records: readonly ToolCallRecord[]) => Promise<void>;
  /** Called once the sandbox is ready and before the first call. */
  readonly afterOpen?: (lease: Lease) => Promise<void>;
  /** Store what the task made. Default: what the operator's `artifacts.keep` says. */
  readonly store?: StoreRequest;
  /** The task's id, for a door that has recorded it before. */
  readonly taskId?: TaskId;
  /** What `planTask` made of the task, for a door that has asked it before. */
  readonly plan?: TaskPlan;
}

/** What an executor may use besides sandboxes and records. */
export interface ExecutorServices {
  readonly artifacts: ArtifactStore;
  /** What is stored unasked. */
  readonly keep: "asked" | "outputs" | "all";
  readonly objects: ObjectAccess;
  readonly renderReport: (result: TaskResult) => string;
}

/** A task on its way, with what is held of it until its end. */
interface Run {
  readonly scope: TaskScope;
  readonly options: RunTaskOptions;
  readonly records: ToolCallRecord[];
  readonly values: CallValue[];
  readonly artifacts: TaskArtifactWriter | undefined;
}

/** Runs tasks: plans, leases a sandbox, runs the calls one after another and closes every record. */
export class Executor {
  readonly #fleet: Fleet;
  readonly #store: TaskStore;
  readonly #services: ExecutorServices;

  constructor(fleet: Fleet, store: TaskStore, services: ExecutorServices) {
    this.#fleet = fleet;
    this.#store = store;
    this.#services = services;
  }

  /** The task's result; throws only for bad input (`invalid_request`, `no_plan`, ...) and when the intent cannot be written. */
  async runTask(task: TaskInput, options: RunTaskOptions = {}): Promise<TaskResult> {
    const plan = options.plan ?? planTask(task);
    const taskId = options.taskId ?? makeTaskId();
    const sink = joinSinks(options.sink ?? new FileJournal(this.#store), options.watcher ?? {});
    await sink.begin(taskId, describeTask(task, plan));
    using deadline = Deadline.after(compileLimits(task.limits).taskTimeoutMs, options.signal);
    const artifacts = this.#openArtifacts(taskId, options);
    const scope = openTask({ taskId, task, plan, deadline, objects: this.#services.objects, sink });
    const run: Run = { scope, options, records: [], values: [], artifacts };
    const frame = { ...scope, ...run, deadline: () => deadline };
    const result = await frameTask(frame, () => this.#runInLease(run));
    return artifacts === undefined ? result : await this.#storeResult(result, artifacts);
  }

  #openArtifacts(taskId: TaskId, options: RunTaskOptions): TaskArtifactWriter | undefined {
    const { artifacts, keep } = this.#services;
    const request = options.store ?? (keep === "asked" ? undefined : { what: keep });
    return request && new TaskArtifactWriter(artifacts, taskId, request, options.signal);
  }

  /** The result is in the journal by now: whatever happens here, it is not lost. */
  async #storeResult(result: TaskResult, writer: TaskArtifactWriter): Promise<TaskResult> {
    const whole = { ...result, artifacts: writer.finish() };
    if (writer.what !== "all") return whole;
    await writer.storeText("report", "report.html", this.#services.renderReport(result), "text/html; charset=utf-8");
    await writer.storeText("result", "result.json", `${JSON.stringify(whole, null, 2)}\n`, "application/json");
    return { ...result, artifacts: writer.finish() };
  }

  async #runInLease(run: Run): Promise<void> {
    const begun = performance.now();
    const given = run.options.lease;
    const { scope } = run;
    const lease = given ?? (await this.#lease(scope));
    try {
      if (given === undefined) {
        const createMs = performance.now() - begun;
        await scope.sink.event({ type: "sandbox_ready", sandboxId: lease.sandbox.id, createMs });
      }
      await run.options.afterOpen?.(lease);
      await prepareWorkspace(scope, lease);
      await runCalls(run, lease, performance.now() - begun);
      await run.artifacts?.storeFiles(lease.sandbox, run.records);
      await run.options.beforeClose?.(lease, run.records);
    } finally {
      if (given === undefined) await lease[Symbol.asyncDispose]();
    }
  }

  async #lease({ task, plan, limits, signal, sink }: TaskScope): Promise<Lease> {
    return await this.#fleet.lease({
      nodeType: plan.nodeType,
      limits,
      network: task.network ?? plan.network,
      env: task.env ?? {},
      bare: task.bare ?? plan.bare,
      signal,
      onProgress: (message) => void sink.event({ type: "progress", message }),
    });
  }
}

async function prepareWorkspace({ task }: TaskScope, { sandbox }: Lease): Promise<void> {
  for (const [path, text] of Object.entries(task.files ?? {})) await sandbox.files.write(path, text);
  await sandbox.files.snapshot();
}

async function runCalls(run: Run, lease: Lease, leaseMs: number): Promise<void> {
  const { scope, records, values } = run;
  for (const step of scope.steps) {
    if (scope.signal.aborted) return;
    const end = await runToolCall(openCall(scope, step, step.index === 0 ? leaseMs : 0), lease);
    const { record, value } = end;
    // Held whole until it was told, so that a failure in between loses nothing of it.
    records.push(record);
    values.push(value);
    await scope.sink.call(end);
    const kept = run.artifacts?.what === "all" ? end : scope.sink.excerpt(end);
    records[step.index] = kept.record;
    values[step.index] = kept.value;
    if (!record.success && !step.call.continueOnFailure) return;
    if (lease.sandbox.end) return;
  }
}
