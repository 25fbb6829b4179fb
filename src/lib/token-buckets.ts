/** One bucket per key: it holds `burst` and fills by `perSecond`. The least used keys are forgotten first, which refills them. */
export class TokenBuckets {
  readonly #buckets = new Map<string, { level: number; at: number }>();
  readonly #perMs: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  readonly #now: () => number;

  constructor(
    perSecond: number,
    burst: number,
    options: { readonly maxKeys?: number; readonly now?: () => number } = {},
  ) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#maxKeys = options.maxKeys ?? 10_000;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Takes one. 0, or the milliseconds until there is one again. */
  take(key: string): number {
    const now = this.#now();
    const known = this.#buckets.get(key);
    const level = known ? Math.min(this.#burst, known.level + (now - known.at) * this.#perMs) : this.#burst;
    const isTaken = level >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { level: isTaken ? level - 1 : level, at: now });
    if (this.#buckets.size > this.#maxKeys) this.#forgetOldest();
    return isTaken ? 0 : (1 - level) / this.#perMs;
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next();
    if (!oldest.done) this.#buckets.delete(oldest.value);
  }
}
