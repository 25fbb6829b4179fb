import { compileLimits, describeLimits } from "../../executor/compile.ts";
import { formatTime } from "../../lib/timestamp.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { AgentDetails } from "../agents.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import type { AgentServices } from "../core/agent-services.ts";

export async function describeAgent(
  { store }: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
  sleepsAt: number | undefined,
): Promise<AgentDetails> {
  const { nodeType, network, bare, limits } = agent.settings;
  const [pending, processing] = await Promise.all([
    store.countResponses(agent.id, "pending"),
    store.countResponses(agent.id, "processing"),
  ]);
  return {
    nodeType,
    network: network ?? null,
    bare: bare ?? null,
    limits: describeLimits(compileLimits(limits)),
    setup: agent.setupReport,
    queue: { pending, processing },
    sandboxId: roster.find(agent.id)?.place.lease?.sandbox.id ?? null,
    sleepsAt: sleepsAt === undefined ? null : formatTime(sleepsAt),
  };
}
