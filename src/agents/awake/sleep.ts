import { Stopwatch } from "../../lib/stopwatch.ts";
import type { AgentRow, AgentState } from "../../model/agent.ts";
import type { ResponseRow, Segment } from "../../model/response.ts";
import type { AgentPatch } from "../../store/state-store/agents.ts";
import { type AgentServices, recordChange } from "../core/agent-services.ts";
import { makeCancelled, makeSlept, type SleepReason, writeMarker } from "../core/markers.ts";
import { retryWrite } from "../core/retry-write.ts";
import type { AgentHandle } from "./agent-handle.ts";

export interface SleepOrder {
  readonly reason: SleepReason;
  readonly by: string;
  readonly delaySeconds: number;
  readonly note?: string | undefined;
  /** Every response that waits or runs is cancelled. */
  readonly cancels: boolean;
  /** Only in these. Default: in every state but `slept`. */
  readonly states?: readonly AgentState[];
}

const AWAKE: readonly AgentState[] = ["init", "idle", "busy"];
const PAGE = 1000;

/**
 * Takes an agent's sandbox and leaves its workspace. Responses that come after this has begun are not cancelled: they
 * wake it again. Undefined when it was asleep, in none of the states, or is gone; nothing is changed then.
 */
export async function putToSleep(live: AgentHandle, order: SleepOrder): Promise<AgentRow | undefined> {
  const { core } = live;
  const { store } = core;
  const watch = new Stopwatch();
  const before = await store.getAgent(live.agent.id);
  if (before === undefined) {
    await dissolve(live);
    return undefined;
  }
  const waiting = order.cancels ? await listOpen(core, live) : [];
  const sessionMs = before.wokeAt === null ? 0 : Math.round(live.times.lasted("wokeAt"));
  const patch = { ...ASLEEP, runtimeMs: before.runtimeMs + sessionMs } as const;
  const asleep = await markAsleep(live, patch, order.states ?? AWAKE);
  if (asleep === undefined) return undefined;
  live.refresh(asleep);
  live.isAwake = false;
  live.announce();
  try {
    for (const { id } of waiting) await cancelRow(core, id, order.reason);
    await writeMarker(store, asleep, makeSlept({ ...order, runtimeMs: sessionMs }));
  } finally {
    await live.place.close();
  }
  recordChange(core, asleep.name, {
    from: before.state,
    to: "slept",
    reason: order.reason,
    by: order.by,
    watch,
  });
  return asleep;
}

/**
 * The sandbox goes with the row's word. So when the answer is lost the row is asked until it says what it is: asleep
 * with an object that is awake is what this has written.
 */
async function markAsleep(
  live: AgentHandle,
  patch: AgentPatch,
  states: readonly AgentState[],
): Promise<AgentRow | undefined> {
  const { store } = live.core;
  const { id } = live.agent;
  const write = async (): Promise<AgentRow | undefined> => {
    const asleep = await store.updateAgent(id, patch, { states });
    const found = asleep ?? (live.isAwake ? await store.getAgent(id) : undefined);
    return found?.state === "slept" ? found : undefined;
  };
  return await retryWrite(live.core, write, live.gone);
}

export const ASLEEP = { state: "slept", idleFrom: null, busyFrom: null, wokeAt: null } as const;

/** Ends a response as cancelled, whatever it is doing. Undefined when it had ended before. */
export async function cancelRow(
  core: AgentServices,
  responseId: string,
  reason: "user_cancel" | SleepReason,
): Promise<ResponseRow | undefined> {
  const segments: readonly Segment[] = [makeCancelled(reason)];
  const ended = await core.store.endResponse(responseId, { status: "cancelled", segments });
  core.logs.changed(responseId);
  return ended;
}

/** Its row is gone: nothing of it stays. */
async function dissolve(live: AgentHandle): Promise<void> {
  live.beginDeletion();
  live.isAwake = false;
  live.isDissolved = true;
  await live.place.close();
}

async function listOpen({ store }: AgentServices, { agent }: AgentHandle): Promise<readonly ResponseRow[]> {
  const rows: ResponseRow[] = [];
  for (const status of ["processing", "pending"] as const) {
    for (let offset = 0; ; offset += PAGE) {
      const page = await store.listResponses(agent.id, { status, order: "asc", limit: PAGE, offset });
      rows.push(...page.map(({ row }) => row));
      if (page.length < PAGE) break;
    }
  }
  return rows;
}
