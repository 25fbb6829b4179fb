/** When something began, for people, and how long it has taken, whatever happens to the wall clock meanwhile. */
export class Stopwatch {
  /** In milliseconds since 1970. */
  readonly startedAt = Date.now();
  readonly #begun = performance.now();

  get durationMs(): number {
    return performance.now() - this.#begun;
  }
}
