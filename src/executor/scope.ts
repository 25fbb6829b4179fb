import type { Deadline } from "../lib/deadline.ts";
import { makeToolCallId, type TaskId, type ToolCallId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { Phases } from "../model/record.ts";
import type { TaskInput } from "../model/task.ts";
import { getTool } from "../tools/registry.ts";
import type { ObjectAccess, PlannedCall, Tool, ToolContext } from "../tools/tool.ts";
import { compileLimits } from "./compile.ts";
import type { TaskPlan } from "./planner.ts";
import type { TaskSink } from "./sinks/task-sink.ts";

/** Books wall time (monotonic, milliseconds) to the phases of one call; every moment belongs to exactly one phase. */
export class PhaseClock {
  readonly phases: Phases = { queue: 0, lease: 0, prepare: 0, transfer_in: 0, run: 0, transfer_out: 0 };
  #last: number;

  constructor(now: number = performance.now()) {
    this.#last = now;
  }

  /** Books the time since the last mark to `phase`. */
  mark(phase: keyof Phases): void {
    const now = performance.now();
    this.phases[phase] += now - this.#last;
    this.#last = now;
  }

  total(): number {
    return Object.values(this.phases).reduce((sum: number, ms: number) => sum + ms, 0);
  }
}

/** A task with its id and its plan. */
export interface PlannedTask {
  readonly taskId: TaskId;
  readonly task: TaskInput;
  readonly plan: TaskPlan;
}

/** One task on its way: what all of its calls share. */
export interface TaskScope extends PlannedTask {
  readonly nodeType: NodeType;
  readonly limits: Limits;
  /** What is to be called, in order. */
  readonly steps: readonly CallStep[];
  readonly deadline: Deadline;
  readonly signal: AbortSignal;
  readonly objects?: ObjectAccess | undefined;
  readonly sink: Required<TaskSink>;
}

/** A planned call with its tool and its id. */
export interface CallStep {
  readonly callId: ToolCallId;
  readonly index: number;
  readonly tool: Tool;
  readonly call: PlannedCall;
}

/**
 * One call on its way to its record. It is made once and handed down whole: each part of the executor and the tool read
 * what they need.
 */
export interface CallScope extends TaskScope, CallStep, Required<Pick<ToolContext, "mark" | "onOutput">> {
  readonly startTime: string;
  readonly clock: PhaseClock;
}

/** Scopes a task. The caller disposes the deadline. */
export function openTask(parts: PlannedTask & Pick<TaskScope, "steps" | "deadline" | "objects" | "sink">): TaskScope {
  const { plan, task, deadline } = parts;
  return { ...parts, nodeType: plan.nodeType, limits: compileLimits(task.limits), signal: deadline.signal };
}

/** Throws `invalid_request` for an unknown tool. */
export function makeStep(call: PlannedCall, index: number): CallStep {
  return { callId: makeToolCallId(), index, tool: getTool(call.tool), call };
}

/** Begins a call. `leaseMs` is booked to the first one of a task: it is what making its place took. */
export function openCall(task: TaskScope, step: CallStep, leaseMs: number): CallScope {
  const clock = new PhaseClock(performance.now() - leaseMs);
  clock.mark("lease");
  return {
    ...task,
    ...step,
    startTime: new Date(Date.now() - leaseMs).toISOString(),
    clock,
    mark: (phase) => clock.mark(phase),
    onOutput: (stream, chunk) => task.sink.output({ type: "output", callId: step.callId, stream, chunk }),
  };
}
