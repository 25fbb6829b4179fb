import type { AgentId } from "../../model/ids.ts";

/** Node's timers take no longer delay. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Agents that are to sleep later; the newest order of each counts. */
export class SleepTimers implements Disposable {
  readonly #orders = new Map<AgentId, { readonly timer: NodeJS.Timeout; readonly at: number }>();

  set(id: AgentId, delayMs: number, sleep: () => void): void {
    this.cancel(id);
    const delay = Math.min(delayMs, MAX_DELAY_MS);
    const fire = (): void => {
      this.#orders.delete(id);
      sleep();
    };
    this.#orders.set(id, { timer: setTimeout(fire, delay).unref(), at: performance.now() + delay });
  }

  /** When the agent is to sleep, in milliseconds since 1970. */
  dueAt(id: AgentId): number | undefined {
    const at = this.#orders.get(id)?.at;
    return at === undefined ? undefined : Date.now() + at - performance.now();
  }

  cancel(id: AgentId): void {
    clearTimeout(this.#orders.get(id)?.timer);
    this.#orders.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#orders.keys()]) this.cancel(id);
  }
}
