import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { makeLeasePlace } from "../../executor/lease-place.ts";
import { joinSinks, type TaskSink } from "../../executor/sinks/task-sink.ts";
import type { Slot } from "../../lib/fair-slots.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { ToolCallRecord } from "../../model/record.ts";
import type { ResponseRow, Segment } from "../../model/response.ts";
import type { TaskResult } from "../../model/result.ts";
import type { Fence, ResponseEnd } from "../../store/state-store/responses.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { hideHostDetails, isOfTheHost, tellRecorded } from "../core/errors-for-callers.ts";
import { retryWrite } from "../core/retry-write.ts";
import type { AgentSandbox } from "../sandbox/agent-sandbox.ts";
import { waitForCapacity } from "../sandbox/wait-for-capacity.ts";
import { describePlace, makeNote } from "../sandbox/workspace-notes.ts";
import { SegmentWriter } from "../segments/segment-writer.ts";
import { chooseShape, readWork, type Work } from "./compile-input.ts";
import { readNotes } from "./input-items.ts";
import { TaskClock } from "./task-clock.ts";

/** What a response runs with. */
export interface RunPlace {
  readonly core: AgentServices;
  readonly agent: AgentRow;
  readonly place: AgentSandbox;
  readonly slot: Slot;
  readonly evict: () => Promise<boolean>;
  /** Aborts when the agent is deleted: the end has to be kept no more. */
  readonly gone: AbortSignal;
}

/** A claimed response on its way to its end. Whoever ends its row otherwise aborts it after that. */
export class ResponseRun {
  readonly row: ResponseRow;
  readonly fence: Fence;
  readonly #place: RunPlace;
  readonly #controller = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  /** Of its calls, as they started. */
  readonly #callIds: string[] = [];
  readonly #clock: TaskClock;

  constructor(row: ResponseRow, place: RunPlace) {
    this.row = row;
    this.#place = place;
    this.fence = { nodeId: place.core.nodeId, reign: place.core.reign, attempt: row.attempts };
    this.#clock = new TaskClock(row);
  }

  /** Kills the task's processes. What it still writes is refused by the store if its row has ended. */
  abort(error: PaddockError): void {
    this.#controller.abort(error);
  }

  get isAborted(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Resolves when it has ended, whatever way. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Rejects only when the store cannot keep the end and the process is done with its agents. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } finally {
      this.#ended.resolve();
    }
  }

  async #run(): Promise<void> {
    const { core, gone } = this.#place;
    const { store, logs } = core;
    const { row, fence } = this;
    const earlier = row.attempts > 1 ? (await retryWrite(core, () => store.listSegments(row.id, 0), gone)).length : 0;
    const live = logs.open(row.id, earlier);
    live.status("processing");
    logs.changed(row.id);
    const { signal } = this.#controller;
    const append = (after: number, segments: readonly Segment[]): Promise<number | false> =>
      retryWrite(core, () => store.appendSegments(row.id, fence, after, segments), signal);
    const writer = new SegmentWriter({ append, earlier, live });
    const outcome = await this.#attempt(writer, (phase, detail) => live.phase(phase, detail));
    const end = makeEnd(outcome, await writer.finish(outcome));
    const isOurs = await retryWrite(core, () => store.finishResponse(row.id, fence, end), gone);
    if (signal.aborted) await this.#killLeftovers();
    this.#record(outcome, isOurs ? end.status : undefined);
  }

  async #attempt(
    writer: SegmentWriter,
    onPhase: (phase: string, detail?: string) => void,
  ): Promise<TaskResult | PaddockError> {
    try {
      return this.#tell(await this.#work(writer, onPhase));
    } catch (error) {
      const { signal } = this.#controller;
      return this.#tell(toPaddockError(signal.aborted && !(error instanceof PaddockError) ? signal.reason : error));
    }
  }

  /** What its owner reads of a failure of the host; the log has the rest. */
  #tell(outcome: TaskResult | PaddockError): TaskResult | PaddockError {
    const { telemetry } = this.#place.core;
    if (outcome instanceof PaddockError) {
      if (isOfTheHost(outcome)) telemetry.problem("agents.run", outcome);
      return hideHostDetails(outcome);
    }
    const { error } = outcome;
    if (error === undefined) return outcome;
    if (isOfTheHost(error)) telemetry.problem("agents.run", new Error(error.message));
    return { ...outcome, error: tellRecorded(error) };
  }

  async #work(writer: SegmentWriter, onPhase: (phase: string, detail?: string) => void): Promise<TaskResult> {
    const { core, agent, place, slot, evict } = this.#place;
    const { row } = this;
    const { signal } = this.#controller;
    const work = await this.#readWork(writer);
    const lease = await place.open(chooseShape(agent, work), {
      signal,
      withRoom: (attempt) => waitForCapacity({ core, slot, signal, evict }, attempt),
      onPhase: (phase, detail) => {
        this.#clock.begin(phase);
        onPhase(phase, detail);
      },
    });
    this.#clock.begin("run");
    const notes = [...describePlace(place), ...work.notes.map((text) => makeNote("info", text))];
    if (notes.length > 0) await writer.write(notes);
    const { task, plan } = work;
    // The records of a response are its segments; there is no journal beside them.
    const sink = joinSinks(this.#makeReporter(), writer);
    return await core.executor.runPlanned(
      { taskId: row.taskId, task, plan },
      { place: makeLeasePlace(lease), sink, signal },
    );
  }

  /** Where nothing can be run, its history still tells which items were left out: a misspelled type may be why. */
  async #readWork(writer: SegmentWriter): Promise<Work> {
    const { input, options } = this.row;
    try {
      return readWork(input, this.#place.agent.settings, options.timeoutMs);
    } catch (error) {
      const notes = readNotes(input);
      if (notes.length > 0) await writer.write(notes.map((text) => makeNote("info", text)));
      throw error;
    }
  }

  /** What the calls of an aborted task left running in the background. */
  async #killLeftovers(): Promise<void> {
    const sandbox = this.#place.place.lease?.sandbox;
    if (sandbox === undefined || this.#callIds.length === 0) return;
    try {
      const processes = await sandbox.processes();
      const ours = processes.filter(({ call, running }) => running && this.#callIds.some((id) => call.startsWith(id)));
      for (const { pid } of ours) await sandbox.signalProcess(pid, "KILL");
    } catch (error) {
      // A sandbox that ended has nothing left.
      if (sandbox.end === undefined) this.#place.core.telemetry.problem("agents.kill", error);
    }
  }

  #makeReporter(): TaskSink {
    return {
      event: (event) => void (event.type === "call_started" && this.#callIds.push(event.callId)),
      call: ({ record }) => this.#report(record),
    };
  }

  #report(record: ToolCallRecord): void {
    const { core, agent } = this.#place;
    const { row } = this;
    core.telemetry.record({
      op: "call.run",
      startedAt: Date.parse(record.start_time),
      durationMs: record.execution_time_ms,
      ...(record.error === undefined ? {} : { errorCode: record.error.code }),
      responseId: row.id,
      agent: agent.name,
      principal: row.createdBy,
      record,
      traceparent: row.options.traceparent,
    });
  }

  /** `status` undefined: somebody else has ended the row, as far as telemetry knows by cancelling it. */
  #record(outcome: TaskResult | PaddockError, status: ResponseEnd["status"] | undefined): void {
    const { core, agent } = this.#place;
    const { row } = this;
    const code = outcome instanceof PaddockError ? outcome.code : outcome.error?.code;
    core.telemetry.record({
      op: "task.run",
      ...this.#clock.finish(),
      ...(code === undefined ? {} : { errorCode: code }),
      responseId: row.id,
      taskId: row.taskId,
      agent: agent.name,
      nodeType: agent.settings.nodeType,
      principal: row.createdBy,
      status: status ?? "cancelled",
      attempt: row.attempts,
      calls: outcome instanceof PaddockError ? 0 : outcome.tool_calls.length,
      traceparent: row.options.traceparent,
    });
  }
}

function makeEnd(
  outcome: TaskResult | PaddockError,
  written: Pick<ResponseEnd, "outputContent" | "segments">,
): ResponseEnd {
  if (!(outcome instanceof PaddockError)) {
    const { status, error } = outcome;
    return { ...written, status, ...(error === undefined ? {} : { error }) };
  }
  return { ...written, status: outcome.code === "cancelled" ? "cancelled" : "failed", error: outcome.toJSON() };
}
