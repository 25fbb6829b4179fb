/** Holds `burst` tokens at most and fills by `perSecond`. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #now: () => number;
  #level: number;
  #at: number;

  constructor(perSecond: number, burst: number, now: () => number = () => performance.now()) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#now = now;
    this.#level = burst;
    this.#at = now();
  }

  /** Takes one if it is there. 0, or the milliseconds until it would be. */
  take(): number {
    const waitMs = this.#fill();
    if (waitMs === 0) this.#level -= 1;
    return waitMs;
  }

  /** Takes one in any case. 0, or the milliseconds until it is there: later calls wait behind it. */
  book(): number {
    const waitMs = this.#fill();
    this.#level -= 1;
    return waitMs;
  }

  /** Undoes a `book` that was not used. */
  giveBack(): void {
    this.#level = Math.min(this.#burst, this.#level + 1);
  }

  #fill(): number {
    const now = this.#now();
    this.#level = Math.min(this.#burst, this.#level + (now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#level >= 1 ? 0 : (1 - this.#level) / this.#perMs;
  }
}

/** One bucket per key. The least used keys are forgotten first, which refills them. */
export class TokenBuckets {
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #make: () => TokenBucket;
  readonly #maxKeys: number;

  constructor(
    perSecond: number,
    burst: number,
    options: { readonly maxKeys?: number; readonly now?: () => number } = {},
  ) {
    this.#make = () => new TokenBucket(perSecond, burst, options.now);
    this.#maxKeys = options.maxKeys ?? 10_000;
  }

  /** Takes one. 0, or the milliseconds until there is one again. */
  take(key: string): number {
    const bucket = this.#buckets.get(key) ?? this.#make();
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#maxKeys) this.#forgetOldest();
    return bucket.take();
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next();
    if (!oldest.done) this.#buckets.delete(oldest.value);
  }
}
