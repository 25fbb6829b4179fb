/**
 * Leads chunks from where they are handed over to where they are read, one at a time: `push` resolves when the reader
 * wants more, so that a slow reader slows the source. Once the reader has left, chunks are dropped.
 */
export class ChunkPipe implements AsyncIterable<Buffer> {
  #next: PromiseWithResolvers<Buffer | undefined> = Promise.withResolvers();
  #taken: PromiseWithResolvers<void> = Promise.withResolvers();
  #left = false;

  constructor() {
    this.#next.promise.catch(() => undefined);
  }

  async push(chunk: Buffer): Promise<void> {
    if (this.#left) return;
    this.#next.resolve(chunk);
    await this.#taken.promise;
  }

  end(): void {
    this.#next.resolve(undefined);
  }

  /** The reader's loop throws `error`. */
  fail(error: unknown): void {
    this.#next.reject(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = await this.#next.promise;
        if (chunk === undefined) return;
        yield chunk;
        const { resolve } = this.#taken;
        this.#next = Promise.withResolvers();
        this.#next.promise.catch(() => undefined);
        this.#taken = Promise.withResolvers();
        resolve();
      }
    } finally {
      this.#left = true;
      this.#taken.resolve();
    }
  }
}
