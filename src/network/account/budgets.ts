/** What one sandbox may use of the network and of the proxy. */
export interface EgressBudgets {
  /** Guest connections at a time; one more is refused. */
  readonly connections: number;
  /** New connections per second after a burst; faster ones wait. */
  readonly connectionsPerSecond: number;
  readonly connectionBurst: number;
  /** From a head's first byte to its end; the same for a ClientHello. */
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** How long a guest that has its last answer may take to close. */
  readonly lingerMs: number;
  readonly resolveTimeoutMs: number;
  readonly dialTimeoutMs: number;
  /** Bytes to and from upstreams over the sandbox's life. */
  readonly txBytes: number;
  readonly rxBytes: number;
}

export const DEFAULT_BUDGETS: EgressBudgets = {
  connections: 64,
  connectionsPerSecond: 20,
  connectionBurst: 64,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  lingerMs: 1000,
  resolveTimeoutMs: 5_000,
  dialTimeoutMs: 10_000,
  txBytes: Number.POSITIVE_INFINITY,
  rxBytes: Number.POSITIVE_INFINITY,
};

/** Spreads events to a rate after a burst, by handing out delays. */
export class Throttle {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #clock: () => number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, burst: number, clock: () => number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#at = clock();
  }

  /** Milliseconds to wait before the event may happen. */
  take(): number {
    const now = this.#clock();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens * 1000) / this.#perSecond;
  }

  /** Undoes a `take` whose event did not happen. */
  giveBack(): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + 1);
  }
}
