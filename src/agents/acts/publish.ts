import { randomUUID } from "node:crypto";
import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import type { AgentRow, PublishPermissions } from "../../model/agent.ts";
import type { AgentId } from "../../model/ids.ts";
import type { Principal } from "../../model/principal.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import { readWorkspace } from "../awake/workspace-access.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { mayHaveWritten } from "../core/retry-write.ts";
import { takeSnapshot } from "./content-copy.ts";

const SNAPSHOT_MS = 120_000;
const ALL: PublishPermissions = { code: true, env: true, content: true };

/**
 * Takes a snapshot of `content/` in the place of the one before. Throws `too_large`, `not_found`, and `superseded` when
 * the agent was published or unpublished meanwhile: which of them was meant to last is not known here.
 */
export async function publish(
  core: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
  permissions: PublishPermissions,
  by: Principal,
): Promise<AgentRow> {
  const { store, artifacts } = core;
  const signal = AbortSignal.any([core.closing, AbortSignal.timeout(SNAPSHOT_MS)]);
  const revision = randomUUID();
  const begun = await store.getAgent(agent.id);
  const files = await readWorkspace(core, roster, agent, signal, (from) =>
    takeSnapshot(from, artifacts, `published/${agent.id}/${revision}`, signal),
  );
  const publication = { published: { at: Date.now(), by: by.name }, revision, permissions, files };
  const keys = files.map(({ artifactKey }) => artifactKey);
  const replacing = store.replacePublished(agent.id, publication, begun?.publicationRevision ?? null);
  const done = await replacing.catch(async (error: unknown) => {
    if (!mayHaveWritten(error)) await removeArtifacts(core, keys);
    throw error;
  });
  await removeArtifacts(core, done?.unused ?? keys);
  if (done !== undefined) return done.agent;
  if ((await store.getAgent(agent.id)) === undefined) throw noAgent();
  throw new PaddockError("superseded", "The agent was published or unpublished meanwhile");
}

export async function unpublish(core: AgentServices, { id }: Pick<AgentRow, "id">): Promise<AgentRow> {
  const hidden = await withdraw(core, id);
  if (hidden === undefined) throw noAgent();
  return hidden;
}

/** Nothing of the agent is served any more. Undefined when it is gone. */
export async function withdraw(core: AgentServices, id: AgentId): Promise<AgentRow | undefined> {
  const nothing = { published: null, revision: randomUUID(), permissions: ALL, files: [] };
  const done = await core.store.replacePublished(id, nothing);
  await removeArtifacts(core, done?.unused ?? []);
  return done?.agent;
}

/** What cannot be removed now is not served all the same. */
async function removeArtifacts({ artifacts, telemetry }: AgentServices, keys: readonly string[]): Promise<void> {
  for (const key of keys)
    await artifacts.remove(key).catch((error: unknown) => telemetry.problem("agents.unpublish", error));
}
