/** Lets at most `slots` run at once and at most `waiting` wait, first come first served. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  readonly #maxWaiting: number;
  #free: number;

  constructor(slots: number, maxWaiting = Number.POSITIVE_INFINITY) {
    this.#free = slots;
    this.#maxWaiting = maxWaiting;
  }

  /** The slot is given back when the lease is disposed. Undefined when too many wait already. */
  async acquire(): Promise<Disposable | undefined> {
    if (this.#free > 0) this.#free -= 1;
    else if (this.#waiting.length >= this.#maxWaiting) return undefined;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#release();
        held = false;
      },
    };
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
