/** Tells everybody who waits that something has changed. */
export class SignalFlag {
  #next = Promise.withResolvers<void>();

  raise(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** The next change. Take it before looking at what may have changed. */
  get next(): Promise<void> {
    return this.#next.promise;
  }
}
