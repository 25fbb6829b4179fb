import { raceSignal } from "../../lib/deadline.ts";
import { Semaphore } from "../../lib/semaphore.ts";
import type { AgentId } from "../../model/ids.ts";

/** So many remixes of an agent by others may wait for their copy; further ones are refused. */
export const MAX_STRANGER_COPIES = 8;

interface Line {
  readonly turns: Semaphore;
  /** Who has a turn or waits for one. */
  count: number;
}

/** Copies of one agent for others are made one after another: between two of them its owner comes first. */
export class StrangerCopies {
  readonly #lines = new Map<AgentId, Line>();

  /** Dispose of it when the copy is made. Throws the signal's reason. */
  async take(parentId: AgentId, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lines.get(parentId) ?? { turns: new Semaphore(1), count: 0 };
    this.#lines.set(parentId, line);
    line.count += 1;
    const leave = (turn: Disposable | undefined): void => {
      turn?.[Symbol.dispose]();
      line.count -= 1;
      if (line.count === 0) this.#lines.delete(parentId);
    };
    const acquired = line.turns.acquire();
    try {
      const turn = await raceSignal(acquired, signal);
      return { [Symbol.dispose]: () => leave(turn) };
    } catch (error) {
      void acquired.then(leave);
      throw error;
    }
  }
}
