import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import { compileLimits } from "../../executor/compile.ts";
import type { Lease } from "../../fleet/leases/lease.ts";
import type { Slot } from "../../lib/fair-slots.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { SandboxFiles } from "../../sandbox/files.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { waitForCapacity } from "../sandbox/wait-for-capacity.ts";
import type { AgentHandle, AgentRegistry } from "./agent-handle.ts";

/** A workspace is asked for again when its sandbox ended while it was read. */
const ATTEMPTS = 3;
const RETRY_MS = 50;
const LOST: ReadonlySet<string> = new Set(["sandbox_closed", "sandbox_lost", "supervisor_lost", "agent_sleeping"]);

/** Porters take no task's slot. */
const NO_SLOT: Slot = { lend: async (_signal, work) => await work(), [Symbol.dispose]: () => undefined };

/**
 * Reads an agent's workspace, awake or asleep: through its sandbox, or through a porter while nothing else touches the
 * volume. `use` may run more than once, from its beginning.
 */
export async function readWorkspace<T>(
  core: AgentServices,
  roster: AgentRegistry,
  agent: AgentRow,
  signal: AbortSignal,
  use: (files: SandboxFiles) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      const live = roster.get(agent);
      if (live.isAwake) return await use((await live.awaitLease(signal)).sandbox.files);
      return await live.command(() => readAsleep(core, roster, live, signal, use));
    } catch (error) {
      const mayPass = error instanceof PaddockError && LOST.has(error.code) && attempt < ATTEMPTS;
      if (!mayPass) throw error;
      await sleep(RETRY_MS, undefined, { signal });
    }
  }
}

async function readAsleep<T>(
  core: AgentServices,
  roster: AgentRegistry,
  live: AgentHandle,
  signal: AbortSignal,
  use: (files: SandboxFiles) => Promise<T>,
): Promise<T> {
  // A volume that is made for an agent that was deleted meanwhile would be nobody's.
  const present = await core.store.getAgent(live.agent.id);
  if (live.isGone || present === undefined) throw noAgent();
  if (live.isAwake) throw new PaddockError("sandbox_lost", "the agent woke meanwhile");
  live.refresh(present);
  if (!(await live.complete())) throw new PaddockError("sandbox_lost", "the copy of the workspace was interrupted");
  await using porter = await openPorter(core, roster, live.agent, true, signal);
  return await use(porter.sandbox.files);
}

/** A porter over an agent's volume, which is made if need be. */
export async function openPorter(
  core: AgentServices,
  roster: AgentRegistry,
  agent: Pick<AgentRow, "volumeId" | "settings" | "createdBy">,
  readOnly: boolean,
  signal: AbortSignal,
): Promise<Lease> {
  const { fleet } = core;
  await fleet.volumes.make(agent.volumeId, compileLimits(agent.settings.limits).workspaceBytes);
  const request = { core, slot: NO_SLOT, signal, evict: () => roster.evict(agent.createdBy) };
  return await waitForCapacity(request, () => fleet.openVolumePorter(agent.volumeId, readOnly, signal));
}
