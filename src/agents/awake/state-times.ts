import type { AgentRow } from "../../model/agent.ts";

const TIMES = ["idleFrom", "busyFrom", "wokeAt"] as const;
export type StateTime = (typeof TIMES)[number];

/**
 * Since when an agent is idle, busy or awake, on the monotonic clock of this process. The times of its row are of the
 * wall clock, for people and for the next process: somebody may set that at any moment, and no agent is to sleep early
 * or late for it.
 */
export class StateTimes {
  readonly #seen = new Map<StateTime, { readonly written: number; readonly at: number }>();

  constructor(agent: AgentRow) {
    this.see(agent);
  }

  /** Call it with every newer row. */
  see(agent: AgentRow): void {
    for (const time of TIMES) {
      const written = agent[time];
      if (written === null) this.#seen.delete(time);
      else if (this.#seen.get(time)?.written !== written) this.#seen.set(time, { written, at: performance.now() });
    }
  }

  /** As `performance.now()` tells it; undefined when it is not. */
  since(time: StateTime): number | undefined {
    return this.#seen.get(time)?.at;
  }

  /** How long it has been; 0 when it is not. */
  lasted(time: StateTime): number {
    const since = this.since(time);
    return since === undefined ? 0 : performance.now() - since;
  }
}
