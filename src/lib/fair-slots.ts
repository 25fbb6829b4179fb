import { KeyedCount } from "./keyed-count.ts";

/** A place among the tasks that run at the same time. */
export interface Slot extends Disposable {
  /**
   * Gives the place up while `work` runs and waits for another one then. Rejects with what `work` rejects or with the
   * signal's reason; the place is gone then.
   */
  lend(signal: AbortSignal, work: () => Promise<void>): Promise<void>;
}

interface Waiting {
  readonly grant: (slot: Slot) => void;
  readonly signal: AbortSignal;
}

/**
 * Lets at most `count` run at once, and of one principal at most `most`. Who waits is served in turn by principal,
 * first come first served within one.
 */
export class FairSlots {
  #free: number;
  readonly #most: number;
  readonly #held = new KeyedCount();
  /**
   * In the order in which principals are served next. While a slot is free, only principals wait that hold as many as
   * they may.
   */
  readonly #queues = new Map<string, Waiting[]>();

  constructor(count: number, most: number = count) {
    this.#free = count;
    this.#most = most;
  }

  /** Rejects with the signal's reason when it aborts first. */
  async acquire(principal: string, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    if (this.#free > 0 && this.#mayHave(principal)) return this.#makeSlot(principal);
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const waiting = { grant: resolve, signal };
    const leave = (): void => {
      this.#leave(principal, waiting);
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#queues.set(principal, [...(this.#queues.get(principal) ?? []), waiting]);
    return await promise.finally(() => signal.removeEventListener("abort", leave));
  }

  #mayHave(principal: string): boolean {
    return this.#held.of(principal) < this.#most;
  }

  #makeSlot(principal: string): Slot {
    this.#free -= 1;
    this.#held.add(principal);
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#release(principal);
      isHeld = false;
    };
    return {
      [Symbol.dispose]: release,
      lend: async (signal, work) => {
        release();
        await work();
        await this.acquire(principal, signal);
        isHeld = true;
      },
    };
  }

  #release(principal: string): void {
    this.#free += 1;
    this.#held.remove(principal);
    this.#serve();
  }

  /** A slot that came free lets one in at most. */
  #serve(): void {
    for (const [principal, [first, ...rest]] of this.#queues) {
      if (!this.#mayHave(principal)) continue;
      this.#queues.delete(principal);
      if (rest.length > 0) this.#queues.set(principal, rest);
      first?.grant(this.#makeSlot(principal));
      return;
    }
  }

  #leave(principal: string, waiting: Waiting): void {
    const rest = (this.#queues.get(principal) ?? []).filter((one) => one !== waiting);
    if (rest.length > 0) this.#queues.set(principal, rest);
    else this.#queues.delete(principal);
  }
}
