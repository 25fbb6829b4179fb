/**
 * Processor time of this thread's longest turn of the event loop: what a busy machine takes from the thread does not
 * count.
 */
export class TurnWatch {
  #longestUs = 0;
  #lastUs = usedUs();
  #next: NodeJS.Immediate;

  constructor() {
    this.#next = setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#look();
    this.#next = setImmediate(() => this.#turn());
  }

  #look(): void {
    const now = usedUs();
    this.#longestUs = Math.max(this.#longestUs, now - this.#lastUs);
    this.#lastUs = now;
  }

  /** Milliseconds of the longest turn. */
  stop(): number {
    clearImmediate(this.#next);
    this.#look();
    return this.#longestUs / 1000;
  }
}

function usedUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
