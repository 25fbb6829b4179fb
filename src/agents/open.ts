import { AgentService } from "./agent-service.ts";
import type { Agents } from "./agents.ts";
import { FairSlots } from "./fair-slots.ts";
import { LiveLogs } from "./live-log.ts";
import { type AgentsParts, type AgentsTuning, type Core, TUNING } from "./parts.ts";
import { Roster } from "./roster.ts";

export type { AgentsParts } from "./parts.ts";

/** Builds the agents of a data folder; `start` begins. Dispose of them before the fleet and the store. */
export function openAgents(parts: AgentsParts, tuning: Partial<AgentsTuning> = {}): Agents {
  const closing = new AbortController();
  const { maxRunning, maxRunningPerPrincipal } = parts.config.service;
  const core: Core = {
    ...parts,
    tuning: { ...TUNING, ...tuning },
    logs: new LiveLogs(parts.store),
    slots: new FairSlots(maxRunning, Math.min(maxRunningPerPrincipal, maxRunning)),
    isDraining: false,
    closing: closing.signal,
    reign: 0,
  };
  return new AgentService(core, new Roster(core), () => closing.abort(new Error("the agents were closed")));
}
