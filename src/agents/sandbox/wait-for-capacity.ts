import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { isWorkspaceInUse } from "../../fleet/leases/lease.ts";
import { backoffMs } from "../../lib/backoff.ts";
import type { Slot } from "../../lib/fair-slots.ts";
import type { AgentServices } from "../core/agent-services.ts";

const BACKOFF = { baseMs: 50, capMs: 2000 };

export interface RoomRequest {
  readonly core: AgentServices;
  readonly slot: Slot;
  readonly signal: AbortSignal;
  /** Puts an idle agent to sleep; false when there is none whose room may be taken. */
  readonly evict: () => Promise<boolean>;
}

/**
 * Tries until there is room for a sandbox: first at the cost of an idle agent, else later. A workspace that is in use
 * is waited for, as no room frees it. The slot is others' meanwhile. Throws `capacity` when the time for it is over.
 */
export async function waitForCapacity<T>(request: RoomRequest, attempt: () => Promise<T>): Promise<T> {
  const { core, slot, signal, evict } = request;
  const until = performance.now() + core.tuning.capacityWaitMs;
  for (let tries = 1; ; tries++) {
    let isInUse = false;
    try {
      return await attempt();
    } catch (error) {
      const isFull = error instanceof PaddockError && error.code === "capacity" && error.context["isHopeless"] !== true;
      if (!isFull || performance.now() >= until) throw error;
      isInUse = isWorkspaceInUse(error);
    }
    await slot.lend(signal, async () => {
      if (isInUse || !(await evict())) await sleep(backoffMs(Math.min(tries, 10), BACKOFF), undefined, { signal });
    });
  }
}
