import { PaddockError } from "../errors/error.ts";
import type { AgentRow } from "../model/agent.ts";
import type { Core } from "./parts.ts";
import { withdraw } from "./publication.ts";
import type { Roster } from "./roster.ts";

/**
 * Ends what an agent does, then removes its sandbox, its workspace and at last its rows: as long as anything of it is there, its row says so. A
 * workspace that cannot be removed now goes at the next start. Posts are refused from the beginning.
 */
export async function removeAgent(core: Core, roster: Roster, agent: AgentRow): Promise<void> {
  const { store, fleet, telemetry } = core;
  const live = roster.get(agent);
  const wasGone = live.isGone;
  live.isGone = true;
  live.announce();
  live.interrupt(new PaddockError("cancelled", "the agent was deleted"));
  await live.command(async () => {
    try {
      await live.place.close();
      live.isAwake = false;
      await fleet.volumes.remove(agent.volumeId).catch((error: unknown) => telemetry.problem("agents.remove", error));
      await withdraw(core, agent.id);
      await store.deleteAgent(agent.id);
    } catch (error) {
      live.isGone = wasGone;
      throw error;
    }
  });
}
