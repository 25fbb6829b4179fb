import { FairSlots } from "../../../lib/fair-slots.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import { isOwner } from "../request/access-rules.ts";

/** Together fewer than the connections that a sandbox has, so that its own work always finds one. */
const OWNERS = { count: 12, most: 8 };
const STRANGERS = { count: 8, most: 4 };

/**
 * File operations that run at once in one agent's sandbox. Others wait, principals in turn; strangers never in the
 * owner's way.
 */
export class FileSlots {
  readonly #pools = new Map<string, { readonly slots: FairSlots; users: number }>();

  /** Rejects with the signal's reason when it aborts first. */
  async acquire(agent: AgentRow, principal: Principal, signal: AbortSignal): Promise<Disposable> {
    const { count, most } = isOwner(agent, principal) ? OWNERS : STRANGERS;
    const key = `${agent.id} ${count}`;
    const pool = this.#pools.get(key) ?? { slots: new FairSlots(count, most), users: 0 };
    this.#pools.set(key, pool);
    pool.users += 1;
    const leave = (): void => {
      pool.users -= 1;
      if (pool.users === 0) this.#pools.delete(key);
    };
    try {
      return once(await pool.slots.acquire(principal.name, signal), leave);
    } catch (error) {
      leave();
      throw error;
    }
  }
}

function once(slot: Disposable, leave: () => void): Disposable {
  let isHeld = true;
  return {
    [Symbol.dispose]: () => {
      if (!isHeld) return;
      isHeld = false;
      slot[Symbol.dispose]();
      leave();
    },
  };
}
