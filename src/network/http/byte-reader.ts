import type { Readable } from "node:stream";

const HIGH_WATER_BYTES = 64 * 1024;

/**
 * Pull-side view of a stream: `next` gives chunks, `unshift` puts bytes back. Reads ahead by one buffer only, so that
 * an end or a reset is noticed while nobody asks for bytes, and a slow reader still slows the sender.
 */
export class ByteReader {
  readonly #stream: Readable;
  readonly #onBytes: (bytes: number) => void;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isOver = false;
  #isReleased = false;
  #wake: (() => void) | undefined;

  constructor(stream: Readable, onBytes: (bytes: number) => void = () => {}) {
    this.#stream = stream;
    this.#onBytes = onBytes;
    this.#isOver = stream.destroyed || stream.readableEnded;
    stream.on("data", this.#onData).on("end", this.#onOver).on("close", this.#onOver);
  }

  /** No more bytes will arrive from the stream (queued ones may remain). */
  get isOver(): boolean {
    return this.#isOver;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * What has come, as one chunk, for a sender of single bytes costs no step for each of them; null once the stream
   * ended, broke or was released. One caller at a time.
   */
  async next(): Promise<Buffer | null> {
    while (this.#queue.length === 0) {
      if (this.#isOver || this.#isReleased) return null;
      this.#stream.resume();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    return this.#takeAll();
  }

  unshift(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#queue.unshift(bytes);
    this.#queuedBytes += bytes.length;
  }

  /** Stops reading, gives back what is queued and leaves the stream paused. */
  release(): Buffer {
    this.#isReleased = true;
    this.#stream.off("data", this.#onData).off("end", this.#onOver).off("close", this.#onOver);
    this.#stream.pause();
    this.#wake?.();
    return this.#takeAll();
  }

  #takeAll(): Buffer {
    const [first = Buffer.alloc(0), ...more] = this.#queue;
    const all = more.length === 0 ? first : Buffer.concat(this.#queue);
    this.#queue = [];
    this.#queuedBytes = 0;
    return all;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#onBytes(chunk.length);
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes >= HIGH_WATER_BYTES) this.#stream.pause();
    this.#wake?.();
  };

  readonly #onOver = (): void => {
    this.#isOver = true;
    this.#wake?.();
  };
}
