/** Lets one through per interval and tells it how many there were since the last one, itself included. */
export class RateLimit {
  readonly #everyMs: number;
  #count = 0;
  #nextAt = 0;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  run(act: (count: number) => void): void {
    this.#count++;
    const now = performance.now();
    if (now < this.#nextAt) return;
    this.#nextAt = now + this.#everyMs;
    const count = this.#count;
    this.#count = 0;
    act(count);
  }
}
