import { noAgent } from "../../errors/not-found.ts";
import { compileLimits, describeLimits } from "../../executor/compile.ts";
import { formatTime } from "../../lib/timestamp.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { AgentDetails, Agents } from "../agents.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import type { AgentServices } from "../core/agent-services.ts";

export async function describeAgent(
  core: AgentServices,
  roster: LiveAgents,
  { id }: AgentRow,
  sleepsAt: number | undefined,
): Promise<AgentDetails> {
  const { store } = core;
  const agent = await findPresent(core, { id });
  const { nodeType, network, bare, limits } = agent.settings;
  const [pending, processing] = await Promise.all([
    store.countResponses(id, "pending"),
    store.countResponses(id, "processing"),
  ]);
  return {
    nodeType,
    network: network ?? null,
    bare: bare ?? null,
    limits: describeLimits(compileLimits(limits)),
    setup: agent.setupReport,
    queue: { pending, processing },
    sandboxId: roster.find(id)?.place.lease?.sandbox.id ?? null,
    sleepsAt: sleepsAt === undefined ? null : formatTime(sleepsAt),
  };
}

/** Seconds with a sandbox: in all, and since it last woke. */
export async function readRuntime(
  core: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
): ReturnType<Agents["runtime"]> {
  const { wokeAt, runtimeMs } = await findPresent(core, agent);
  const currentMs = wokeAt === null ? 0 : (roster.find(agent.id)?.times.lasted("wokeAt") ?? 0);
  return { totalSeconds: Math.floor((runtimeMs + currentMs) / 1000), currentSeconds: Math.floor(currentMs / 1000) };
}

/** The agent as it is now. Throws `not_found`. */
export async function findPresent({ store }: AgentServices, { id }: Pick<AgentRow, "id">): Promise<AgentRow> {
  const present = await store.getAgent(id);
  if (present === undefined) throw noAgent();
  return present;
}
