import { FairSlots } from "../lib/fair-slots.ts";
import { AgentService } from "./agent-service.ts";
import type { Agents } from "./agents.ts";
import { LiveAgents } from "./awake/live-agents.ts";
import { type AgentServices, type AgentsParts, type AgentsTuning, TUNING } from "./core/agent-services.ts";
import { LiveLogs } from "./events/live-log.ts";

export type { AgentsParts } from "./core/agent-services.ts";

/** Builds the agents of a data folder; `start` begins. Dispose of them before the fleet and the store. */
export function openAgents(parts: AgentsParts, tuning: Partial<AgentsTuning> = {}): Agents {
  const closing = new AbortController();
  const { maxRunning, maxRunningPerPrincipal } = parts.config.service;
  const core: AgentServices = {
    ...parts,
    tuning: { ...TUNING, ...tuning },
    logs: new LiveLogs(parts.store),
    slots: new FairSlots(maxRunning, Math.min(maxRunningPerPrincipal, maxRunning)),
    isDraining: false,
    closing: closing.signal,
    reign: 0,
  };
  return new AgentService(core, new LiveAgents(core), () => closing.abort(new Error("the agents were closed")));
}
