import { randomUUID } from "node:crypto";
import { PaddockError } from "../errors/error.ts";
import type { AgentRow, PublishPermissions } from "../model/agent.ts";
import type { AgentId } from "../model/ids.ts";
import type { Principal } from "../model/principal.ts";
import type { Core } from "./parts.ts";
import { takeSnapshot } from "./publishing.ts";
import type { Roster } from "./roster.ts";
import { readWorkspace } from "./workspace-access.ts";

const SNAPSHOT_MS = 120_000;
const ALL: PublishPermissions = { code: true, env: true, content: true };

/** Takes a snapshot of `content/` in the place of the one before. Throws `too_large`, `not_found`. */
export async function publish(
  core: Core,
  roster: Roster,
  agent: AgentRow,
  permissions: PublishPermissions,
  by: Principal,
): Promise<AgentRow> {
  const { store, artifacts } = core;
  const signal = AbortSignal.any([core.closing, AbortSignal.timeout(SNAPSHOT_MS)]);
  const revision = randomUUID();
  const files = await readWorkspace(core, roster, agent, signal, (from) =>
    takeSnapshot(from, artifacts, `published/${agent.id}/${revision}`, signal),
  );
  const publishing = { published: { at: Date.now(), by: by.name, revision }, publishPermissions: permissions };
  try {
    const stale = await store.replacePublished(agent.id, revision, files);
    await removeArtifacts(core, stale);
    const published = await store.updateAgent(agent.id, publishing);
    if (published !== undefined) return published;
    throw new PaddockError("not_found", "Agent not found");
  } catch (error) {
    if (error instanceof PaddockError && error.code === "not_found")
      await removeArtifacts(
        core,
        files.map(({ artifactKey }) => artifactKey),
      );
    throw error;
  }
}

export async function unpublish(core: Core, agent: AgentRow): Promise<AgentRow> {
  const hidden = await core.store.updateAgent(agent.id, { published: null, publishPermissions: ALL });
  if (hidden === undefined) throw new PaddockError("not_found", "Agent not found");
  await withdraw(core, agent.id);
  return hidden;
}

/** Nothing of the agent is served any more. */
export async function withdraw(core: Core, id: AgentId): Promise<void> {
  await removeArtifacts(core, await core.store.replacePublished(id, null, []));
}

/** What cannot be removed now is not served all the same. */
async function removeArtifacts({ artifacts, telemetry }: Core, keys: readonly string[]): Promise<void> {
  for (const key of keys)
    await artifacts.remove(key).catch((error: unknown) => telemetry.problem("agents.unpublish", error));
}
