import { PaddockError } from "../errors/error.ts";
import type { LiveAgent } from "./live-agent.ts";
import { makeWoke, type WakeReason, writeMarker } from "./markers.ts";
import { recordChange } from "./parts.ts";
import { persist } from "./persist.ts";

/** The agent is awake from now on; its sandbox is made next. False when it was awake already. Throws `not_found`. */
export async function wakeUp(live: LiveAgent, reason: WakeReason, by: string): Promise<boolean> {
  if (live.isAwake) return false;
  const { core } = live;
  const now = Date.now();
  const patch = { state: "init", wokeAt: now, lastActivityAt: now } as const;
  const woken = await core.store.updateAgent(live.agent.id, patch);
  if (woken === undefined || live.isGone) throw new PaddockError("not_found", "Agent not found");
  live.see(woken);
  live.isAwake = true;
  live.wantsSandbox = true;
  await writeMarker(core.store, woken, makeWoke(reason, by));
  recordChange(core, woken.name, { from: "slept", to: woken.state, reason, by, startedAt: now });
  live.announce();
  return true;
}

/** Makes an agent idle for which nothing waits any more. False when something does. */
export async function settle(live: LiveAgent): Promise<boolean> {
  const { core, gone } = live;
  const { store } = core;
  const { id } = live.agent;
  const now = Date.now();
  const settled = await persist(core, () => store.settleAgent(id, now), gone);
  const idle = { state: "idle", idleFrom: now } as const;
  const made =
    settled?.state === "init"
      ? await persist(core, () => store.updateAgent(id, idle, { states: ["init"] }), gone)
      : undefined;
  live.see(made ?? settled);
  live.checkWithin(live.agent.idleTimeoutSeconds);
  return live.agent.state === "idle";
}
