import { noAgent } from "../../errors/not-found.ts";
import { Stopwatch } from "../../lib/stopwatch.ts";
import { recordChange } from "../core/agent-services.ts";
import { makeWoke, type WakeReason, writeMarker } from "../core/markers.ts";
import { retryWrite } from "../core/retry-write.ts";
import type { AgentHandle } from "./agent-handle.ts";

/** The agent is awake from now on; its sandbox is made next. False when it was awake already. Throws `not_found`. */
export async function wakeUp(live: AgentHandle, reason: WakeReason, by: string): Promise<boolean> {
  if (live.isAwake) return false;
  const { core } = live;
  const watch = new Stopwatch();
  const now = watch.startedAt;
  const patch = { state: "init", wokeAt: now, lastActivityAt: now } as const;
  const woken = await core.store.updateAgent(live.agent.id, patch);
  if (woken === undefined || live.isGone) throw noAgent();
  live.refresh(woken);
  live.isAwake = true;
  live.wantsSandbox = true;
  await writeMarker(core.store, woken, makeWoke(reason, by));
  recordChange(core, woken.name, { from: "slept", to: woken.state, reason, by, watch });
  live.announce();
  return true;
}

/** Makes an agent idle for which nothing waits any more. False when something does. */
export async function settle(live: AgentHandle): Promise<boolean> {
  const { core, gone } = live;
  const { store } = core;
  const { id } = live.agent;
  const now = Date.now();
  const settled = await retryWrite(core, () => store.settleAgent(id, now), gone);
  const idle = { state: "idle", idleFrom: now } as const;
  const made =
    settled?.state === "init"
      ? await retryWrite(core, () => store.updateAgent(id, idle, { states: ["init"] }), gone)
      : undefined;
  live.refresh(made ?? settled);
  live.checkWithin(live.agent.idleTimeoutSeconds);
  return live.agent.state === "idle";
}
