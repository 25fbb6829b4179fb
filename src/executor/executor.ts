import { type PaddockError, toPaddockError } from "../errors/error.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { Deadline } from "../lib/deadline.ts";
import { makeTaskId, type TaskId } from "../model/ids.ts";
import type { TaskResult } from "../model/result.ts";
import type { TaskInput } from "../model/task.ts";
import type { ArtifactStore } from "../store/artifact-store.ts";
import type { TaskStore } from "../store/task-store.ts";
import type { ObjectAccess } from "../tools/tool.ts";
import { compileLimits } from "./compile.ts";
import { makeOwnPlace } from "./lease-place.ts";
import type { OpenPlace, Place } from "./place.ts";
import { planTask } from "./planner.ts";
import { makeStep, openCall, openTask, type PlannedTask, type TaskScope } from "./scope.ts";
import { makeFileJournal } from "./sinks/file-journal.ts";
import type { CallEnd } from "./sinks/task-event.ts";
import { joinSinks, type TaskSink } from "./sinks/task-sink.ts";
import { type StoreRequest, TaskArtifactWriter } from "./task-artifacts.ts";
import { describeTask, makeResult } from "./task-result.ts";

export interface RunTaskOptions {
  readonly signal?: AbortSignal;
  /** Where the calls run. Default: a sandbox of the task's own. */
  readonly place?: Place;
  /** Keeps the task. Default: a journal in the data folder. */
  readonly sink?: TaskSink;
  /** Is told besides, after the sink. */
  readonly watcher?: TaskSink;
  /** Store what the task made. Default: what the operator's `artifacts.keep` says. */
  readonly store?: StoreRequest;
}

/** What a task is run with. */
export interface TaskParts {
  readonly place: Place;
  readonly sink: Required<TaskSink>;
  readonly signal: AbortSignal | undefined;
  readonly objects?: ObjectAccess;
  readonly artifacts?: TaskArtifactWriter | undefined;
}

/** What an executor may use besides sandboxes and records. */
export interface ExecutorServices {
  readonly artifacts: ArtifactStore;
  /** What is stored unasked. */
  readonly keep: "asked" | "outputs" | "all";
  readonly objects: ObjectAccess;
  readonly renderReport: (result: TaskResult) => string;
}

/** Runs tasks, in sandboxes and with journals of its own unless a door names others. */
export class Executor {
  readonly #fleet: Fleet;
  readonly #store: TaskStore;
  readonly #services: ExecutorServices;

  constructor(fleet: Fleet, store: TaskStore, services: ExecutorServices) {
    this.#fleet = fleet;
    this.#store = store;
    this.#services = services;
  }

  /**
   * The task's result; throws only for bad input (`invalid_request`, `no_plan`, ...) and when its sink fails at the
   * beginning or the end.
   */
  async runTask(task: TaskInput, options: RunTaskOptions = {}): Promise<TaskResult> {
    return await this.runPlanned({ taskId: makeTaskId(), task, plan: planTask(task) }, options);
  }

  /** The same for a task that its door has planned. */
  async runPlanned(planned: PlannedTask, options: RunTaskOptions): Promise<TaskResult> {
    const { signal, place = makeOwnPlace(this.#fleet), sink = makeFileJournal(this.#store), watcher = {} } = options;
    const artifacts = this.#openArtifacts(planned.taskId, options);
    const { objects } = this.#services;
    const parts = { place, sink: joinSinks(sink, watcher), signal, objects, artifacts };
    const result = await executeTask(planned, parts);
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
}

/** Runs the calls of a task one after another at its place, closes every record and gives the task its one result. */
export async function executeTask(planned: PlannedTask, parts: TaskParts): Promise<TaskResult> {
  const { taskId, task, plan } = planned;
  const { place, sink, objects } = parts;
  const steps = plan.calls.map(makeStep);
  await sink.begin(taskId, { ...describeTask(task, plan), ...place.facts });
  const { taskTimeoutMs } = compileLimits(task.limits);
  using deadline = Deadline.after(place.openMs ?? taskTimeoutMs, parts.signal);
  const scope = openTask({ ...planned, steps, deadline, objects, sink });
  const startTime = new Date().toISOString();
  const begun = performance.now();
  const ends: CallEnd[] = [];
  let error: PaddockError | undefined;
  try {
    const { nodeType, calls, source } = plan;
    await sink.event({ type: "task_started", taskId, nodeType, calls: calls.length, source });
    await runAtPlace(scope, parts, ends);
  } catch (thrown) {
    error = toPaddockError(thrown);
  }
  const result = makeResult({ ...scope, ends, startTime, durationMs: performance.now() - begun, error });
  await sink.end(result);
  return result;
}

async function runAtPlace(scope: TaskScope, { place, artifacts }: TaskParts, ends: CallEnd[]): Promise<void> {
  const opened = await place.open(scope);
  try {
    if (place.openMs !== undefined) scope.deadline.restart(scope.limits.taskTimeoutMs);
    await runCalls(scope, opened, ends, artifacts?.what === "all");
    const records = ends.map(({ record }) => record);
    if (opened.files !== undefined) await artifacts?.storeFiles(opened.files, records);
    await opened.finish?.(records);
  } finally {
    await opened.close?.();
  }
}

async function runCalls(scope: TaskScope, place: OpenPlace, ends: CallEnd[], isKeptWhole: boolean): Promise<void> {
  for (const step of scope.steps) {
    if (scope.signal.aborted) return;
    const end = await place.run(openCall(scope, step, step.index === 0 ? place.leaseMs : 0));
    if (end === undefined) return;
    // Held whole until it was told, so that a failure in between loses nothing of it.
    ends.push(end);
    await scope.sink.call(end);
    if (!isKeptWhole) ends[step.index] = scope.sink.excerpt(end);
    if (!end.record.success && !step.call.continueOnFailure) return;
  }
}
