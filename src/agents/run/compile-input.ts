import { PaddockError } from "../../errors/error.ts";
import { compileLimits } from "../../executor/compile.ts";
import { planTask, type TaskPlan } from "../../executor/planner.ts";
import type { AgentRow, AgentSettings } from "../../model/agent.ts";
import type { LimitsInput, TaskInput } from "../../model/task.ts";
import { describeCall } from "../../tools/tool.ts";
import type { Shape } from "../sandbox/shape.ts";
import { ITEMS_HINT, type NamedWork, readItems, type WorkItem } from "./input-items.ts";

/** A response's input as a task that can be run. */
export interface Work {
  readonly task: TaskInput;
  /** Of the task: hand it on to `chooseShape` and to the executor, for planning is done once. */
  readonly plan: TaskPlan;
  /** Items that were left out and why. */
  readonly notes: readonly string[];
}

const MAX_CALLS = 1000;
const NOTHING = "input.content holds no text, code, tool calls or recipe: there is nothing to run";

const refuse = (code: "invalid_request" | "no_plan", message: string, cause?: PaddockError): PaddockError =>
  new PaddockError(code, message, {
    hint: ITEMS_HINT,
    cause,
    ...(cause === undefined ? {} : { context: cause.context }),
  });

/**
 * Reads `input` as it was posted (docs/responses.md): explicit items in their order, else the text items as one
 * description. `timeoutMs` is the response's own time limit. Throws `invalid_request` with the field, and `no_plan`
 * when there is nothing that can be run.
 */
export function readWork(input: unknown, settings: AgentSettings, timeoutMs?: number): Work {
  const { items, notes } = readItems(input);
  if (items.length === 0) throw refuse("no_plan", [NOTHING, ...notes.slice(0, 1)].join("; "));
  const plans = items.map((item) => planItem(item, settings, notes));
  const plan = joinPlans(plans, settings);
  const task: TaskInput = {
    ...describeWork(items, plan),
    node_type: settings.nodeType,
    env: { ...settings.env },
    limits: limitTask(settings.limits, timeoutMs),
    ...(settings.network === undefined ? {} : { network: asWritten(settings.network) }),
    ...(settings.bare === undefined ? {} : { bare: settings.bare }),
  };
  return { task, plan, notes };
}

/**
 * The sandbox that the work asks for: the agent's own network policy and bareness, where it has them, stand over the
 * plan's needs.
 */
export function chooseShape(agent: Pick<AgentRow, "settings">, { task, plan }: Pick<Work, "task" | "plan">): Shape {
  const { network, bare, nodeType } = agent.settings;
  return {
    nodeType,
    network: network ?? (plan.network.length > 0 ? plan.network : "none"),
    bare: bare ?? plan.bare,
    limits: compileLimits(task.limits),
  };
}

function planItem({ work, field, title }: WorkItem, settings: AgentSettings, notes: readonly string[]): TaskPlan {
  const bare = settings.bare === undefined ? {} : { bare: settings.bare };
  try {
    const plan = planTask({ ...work, node_type: settings.nodeType, ...bare });
    return title === undefined ? plan : { ...plan, calls: plan.calls.map((call) => ({ title, ...call })) };
  } catch (error) {
    if (!(error instanceof PaddockError)) throw error;
    const { code, message } = error;
    // A misspelled type may be why there is nothing to run.
    if (code === "no_plan" && notes.length > 0) throw refuse(code, `${notes[0]}; ${message}`, error);
    throw code === "invalid_request" ? refuse(code, `${field}: ${message}`, error) : error;
  }
}

function joinPlans(plans: readonly TaskPlan[], settings: AgentSettings): TaskPlan {
  const [first] = plans;
  const calls = plans.flatMap((plan) => plan.calls);
  if (calls.length > MAX_CALLS)
    throw refuse("invalid_request", `input.content: ${calls.length} calls; at most ${MAX_CALLS}`);
  return {
    nodeType: settings.nodeType,
    calls,
    network: [...new Set(plans.flatMap((plan) => plan.network))],
    bare: plans.some((plan) => plan.bare),
    source: plans.length === 1 && first !== undefined ? first.source : "tool_calls",
  };
}

/** The work as fields of one task; what no single field can say becomes tool calls. */
function describeWork(items: readonly WorkItem[], plan: TaskPlan): NamedWork {
  const [only, ...more] = items;
  if (only !== undefined && more.length === 0 && only.title === undefined) return only.work;
  return { tool_calls: plan.calls.map(describeCall) };
}

/** A response's own time limit is also its calls', unless the agent has one for them. */
function limitTask(limits: LimitsInput, timeoutMs: number | undefined): LimitsInput {
  return timeoutMs === undefined ? limits : { call_timeout_ms: timeoutMs, ...limits, task_timeout_ms: timeoutMs };
}

const asWritten = (network: string | readonly string[]): string | string[] =>
  typeof network === "string" ? network : [...network];
