/** A place among the tasks that run at the same time. */
export interface Slot extends Disposable {
  /** Gives the place up while `work` runs and waits for another one then. Rejects with what `work` rejects or with the signal's reason; the place is gone then. */
  lend(signal: AbortSignal, work: () => Promise<void>): Promise<void>;
}

interface Waiting {
  readonly grant: (slot: Slot) => void;
  readonly signal: AbortSignal;
}

/** Lets at most `count` run at once. Who waits is served in turn by principal, first come first served within one. */
export class FairSlots {
  #free: number;
  /** In the order in which principals are served next. */
  readonly #queues = new Map<string, Waiting[]>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Rejects with the signal's reason when it aborts first. */
  async acquire(principal: string, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#makeSlot(principal);
    }
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

  #makeSlot(principal: string): Slot {
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#release();
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

  #release(): void {
    const [next] = this.#queues;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    const [principal, [first, ...rest]] = next;
    this.#queues.delete(principal);
    if (rest.length > 0) this.#queues.set(principal, rest);
    first?.grant(this.#makeSlot(principal));
  }

  #leave(principal: string, waiting: Waiting): void {
    const rest = (this.#queues.get(principal) ?? []).filter((one) => one !== waiting);
    if (rest.length > 0) this.#queues.set(principal, rest);
    else this.#queues.delete(principal);
  }
}
