interface Interval {
  start: number;
  end: number;
}

const MAX_INTERVALS = 4096;

/**
 * Length of a union of intervals on a monotonic clock. Every interval is added at the moment it ends, so ends never
 * decrease and only the last ones can overlap a new one: a stack is enough, and adding is constant time on average.
 */
export class BusyTime {
  #open: Interval[] = [];
  #settledMs = 0;
  #settledUntil = Number.NEGATIVE_INFINITY;

  add(start: number, end: number): void {
    let from = Math.max(start, this.#settledUntil);
    for (let last = this.#open.at(-1); last && last.end >= from; last = this.#open.at(-1)) {
      from = Math.min(from, last.start);
      this.#open.pop();
    }
    if (end > from) this.#open.push({ start: from, end });
    if (this.#open.length > MAX_INTERVALS) this.#settle();
  }

  get totalMs(): number {
    return this.#open.reduce((sum, interval) => sum + interval.end - interval.start, this.#settledMs);
  }

  /** Bounds memory: gaps before the settled point can no longer be filled. */
  #settle(): void {
    const settled = this.#open.splice(0, MAX_INTERVALS / 2);
    for (const interval of settled) this.#settledMs += interval.end - interval.start;
    this.#settledUntil = settled.at(-1)?.end ?? this.#settledUntil;
  }
}
