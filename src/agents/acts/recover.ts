import { PaddockError } from "../../errors/error.ts";
import { Stopwatch } from "../../lib/stopwatch.ts";
import type { AgentSummary } from "../../model/agent.ts";
import type { VolumeId } from "../../model/ids.ts";
import type { Fence, ResponseEnd } from "../../store/state-store/responses.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import { ASLEEP } from "../awake/sleep.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { makeSlept, SYSTEM, writeMarker } from "../core/markers.ts";

/** Takes up what an earlier process of this data folder left. Nothing else happens to its agents meanwhile. */
export async function recoverAgents(
  core: AgentServices,
  roster: LiveAgents,
): Promise<{ requeued: number; lost: number; woken: number; volumesRemoved: number }> {
  const { store, nodeId } = core;
  const claims = await store.takeOverClaims(nodeId, core.reign);
  const counts = { requeued: 0, lost: 0 };
  for (const { row, fence } of claims) counts[await giveBack(core, row, fence)] += 1;
  const volumes = await core.fleet.volumes.list();
  const agents = await store.listAgentsOf(nodeId);
  for (const agent of agents) await markAsleep(core, agent);
  const owned = new Set(agents.map(({ volumeId }) => volumeId));
  const volumesRemoved = await removeVolumes(
    core,
    volumes.filter((id) => !owned.has(id)),
  );
  for (const { id, missingCopy } of agents) {
    const agent = missingCopy === null ? undefined : await store.getAgent(id);
    if (agent !== undefined) roster.get(agent).completeAsleep();
  }
  const unfinished = new Set((await store.listUnfinished(nodeId)).map(({ agentId }) => agentId));
  for (const id of unfinished) {
    const agent = await store.getAgent(id);
    if (agent !== undefined) roster.get(agent).poke();
  }
  return { ...counts, woken: unfinished.size, volumesRemoved };
}

/** The end of a response whose process is gone, or goes: work that may run twice waits again. */
export async function giveBack(
  { store }: AgentServices,
  { id, options }: { readonly id: string; readonly options: { readonly idempotent: boolean } },
  fence: Fence,
): Promise<"requeued" | "lost"> {
  if (options.idempotent) {
    await store.requeueResponse(id, fence);
    return "requeued";
  }
  await store.finishResponse(id, fence, makeLost());
  return "lost";
}

function makeLost(): ResponseEnd {
  const error = new PaddockError("task_lost", "the server stopped while the task ran").toJSON();
  return {
    status: "failed",
    error,
    outputContent: [{ type: "text", title: "Result", content: `${error.message}\n${error.code}: ${error.hint}` }],
  };
}

/** It was awake when its process ended: how long it was is known up to what it did last. */
async function markAsleep({ store }: AgentServices, agent: AgentSummary): Promise<void> {
  if (agent.state === "slept") return;
  const wokeAt = agent.wokeAt ?? agent.createdAt;
  const runtimeMs = Math.max(0, (agent.lastActivityAt ?? wokeAt) - wokeAt);
  await store.updateAgent(agent.id, { ...ASLEEP, runtimeMs: agent.runtimeMs + runtimeMs });
  await writeMarker(store, agent, makeSlept({ reason: "server_restart", by: SYSTEM, delaySeconds: 0, runtimeMs }));
}

/**
 * A volume is made after its agent's row and removed before it. The rows were read after these were listed: they belong
 * to nobody.
 */
async function removeVolumes({ fleet, telemetry }: AgentServices, ids: readonly VolumeId[]): Promise<number> {
  let removed = 0;
  for (const id of ids) {
    const watch = new Stopwatch();
    if (!(await fleet.discardVolume(id))) continue;
    removed += 1;
    const { startedAt, durationMs } = watch;
    telemetry.record({ op: "server.change", phase: "workspace_removed", detail: id, startedAt, durationMs });
  }
  return removed;
}
