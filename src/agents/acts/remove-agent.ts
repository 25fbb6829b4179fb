import { Stopwatch } from "../../lib/stopwatch.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import { type AgentServices, recordChange } from "../core/agent-services.ts";
import { withdraw } from "./publish.ts";

/**
 * Ends what an agent does, then removes its sandbox, its workspace and at last its rows: as long as anything of it is
 * there, its row says so. Posts are refused from the beginning, also when a step fails: it may be removed again. A
 * workspace that cannot be removed now goes with a later sweep.
 */
export async function removeAgent(core: AgentServices, roster: LiveAgents, agent: AgentRow): Promise<void> {
  const { store, fleet } = core;
  const watch = new Stopwatch();
  const live = roster.get(agent);
  live.beginDeletion();
  await live.command(async () => {
    await live.place.close();
    live.isAwake = false;
    await fleet.discardVolume(agent.volumeId);
    await withdraw(core, agent.id);
    await store.deleteAgent(agent.id);
    live.isDissolved = true;
  });
  recordChange(core, agent.name, { from: agent.state, to: "removed", reason: "user", watch });
}
