import { setImmediate as nextTurn } from "node:timers/promises";

/** Of each turn of the event loop, work takes about this long at most; then everybody else has theirs. */
const SLICE_MS = 10;

/**
 * Runs work one after the other, in the order it came, and lets the event loop turn in between. The embedded database
 * works in this thread: a hundred writes that arrive together would otherwise be one stretch in which the process
 * answers nobody.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();
  #sliceEnd: number | undefined;

  async run<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    try {
      await before;
      await this.#startInTime();
      return await work();
    } finally {
      resolve();
    }
  }

  async #startInTime(): Promise<void> {
    while (this.#sliceEnd !== undefined && performance.now() > this.#sliceEnd) await nextTurn();
    if (this.#sliceEnd !== undefined) return;
    this.#sliceEnd = performance.now() + SLICE_MS;
    setImmediate(() => {
      this.#sliceEnd = undefined;
    });
  }
}
