import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import { raceSignal } from "../../lib/deadline.ts";
import type { AgentRow, MissingCopy } from "../../model/agent.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { hideHostDetails } from "../core/errors-for-callers.ts";
import { mayHaveWritten, retryWrite } from "../core/retry-write.ts";
import { copyWorkspace } from "../sandbox/copy-volume.ts";
import type { AgentHandle, AgentRegistry } from "./agent-handle.ts";
import { openPorter, readWorkspace } from "./workspace-access.ts";

/** A remix whose workspace has still to be filled: nothing else happens in it before. */
export const owesCopy = ({ missingCopy }: Pick<AgentRow, "missingCopy">): boolean =>
  missingCopy !== null && missingCopy.failure === undefined;

/**
 * Fills the workspace of a remix from its parent's, if that is owed. Call it inside the agent's command loop, be it
 * awake or not. The row says that it is owed until it is there or has failed, which is told; what interrupts it, a kill
 * too, leaves it to the next waking or start. False when it is owed still. Throws when the store fails.
 */
export async function completeWorkspace(
  core: AgentServices,
  roster: AgentRegistry,
  live: AgentHandle,
  interrupted?: AbortSignal,
): Promise<boolean> {
  const { missingCopy } = live.agent;
  if (missingCopy === null || !owesCopy(live.agent)) return true;
  let fault: unknown;
  await live.attempt(async (signal) => {
    const failure = await copyParent(core, roster, live.agent, missingCopy, signal).catch(toPaddockError);
    if (failure === undefined) return await settle(core, live, null);
    if (signal.aborted || core.closing.aborted) return;
    if (mayHaveWritten(failure)) {
      fault = failure;
      return;
    }
    await live.place.reportDefect(failure);
    await settle(core, live, { ...missingCopy, failure: hideHostDetails(failure).toJSON() });
  }, interrupted);
  if (fault !== undefined) throw fault;
  return !owesCopy(live.agent);
}

async function settle(core: AgentServices, live: AgentHandle, missingCopy: MissingCopy | null): Promise<void> {
  const { id } = live.agent;
  const settled = await retryWrite(core, () => core.store.updateAgent(id, { missingCopy }), live.gone);
  if (settled === undefined) live.beginDeletion();
  live.refresh(settled);
}

/** From the beginning: what a copy that was interrupted has left goes first. */
async function copyParent(
  core: AgentServices,
  roster: AgentRegistry,
  agent: AgentRow,
  copy: MissingCopy,
  signal: AbortSignal,
): Promise<void> {
  using _turn = copy.needsPublication ? await core.strangerCopies.take(copy.parentId, signal) : undefined;
  await core.fleet.volumes.remove(agent.volumeId);
  await using porter = await openPorter(core, roster, agent, false, signal);
  const parent = await core.store.getAgent(copy.parentId);
  if (parent === undefined) throw noAgent();
  assertMayCopy(parent, copy);
  const copying = readWorkspace(core, roster, parent, signal, (files) =>
    copyWorkspace(files, porter.sandbox.files, copy),
  );
  await raceSignal(copying, signal);
}

/** The door has looked when the remix was asked for, and that may be long ago. */
function assertMayCopy(
  { published, publishPermissions }: AgentRow,
  { needsPublication, code, env }: MissingCopy,
): void {
  const isPublished = published !== null && (publishPermissions.code || !code) && (publishPermissions.env || !env);
  if (needsPublication && !isPublished)
    throw new PaddockError("forbidden", "The parent does not publish what was to be copied any more");
}
