/**
 * Keeps the head and the tail of a byte stream within a budget and counts the rest.
 * Memory is bounded by `limitBytes` plus one chunk; bytes are never copied more than twice.
 */
export class BoundedOutput {
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #total = 0;

  constructor(limitBytes: number) {
    this.#headLimit = Math.ceil(limitBytes / 2);
    this.#tailLimit = limitBytes - this.#headLimit;
  }

  push(chunk: Buffer): void {
    this.#total += chunk.length;
    const room = this.#headLimit - this.#headBytes;
    if (room > 0) {
      const part = chunk.subarray(0, room);
      this.#head.push(part);
      this.#headBytes += part.length;
    }
    if (chunk.length > room) this.#pushTail(chunk.subarray(Math.max(room, 0)));
  }

  /** Counts bytes that the sender dropped between head and tail. */
  skip(bytes: number): void {
    this.#total += bytes;
    if (bytes > 0 && this.#headBytes >= this.#headLimit) {
      this.#tail = [];
      this.#tailBytes = 0;
    }
  }

  get totalBytes(): number {
    return this.#total;
  }

  /** Bytes neither in the head nor in the tail. */
  get missingBytes(): number {
    return this.#total - this.#headBytes - this.#tailBytes;
  }

  /** Head and tail as text, with a marker line naming the gap; invalid UTF-8 becomes U+FFFD. */
  text(): string {
    const head = Buffer.concat(this.#head);
    const tail = Buffer.concat(this.#tail);
    if (this.missingBytes === 0) return Buffer.concat([head, tail]).toString("utf8");
    return `${head.toString("utf8")}\n[... ${this.missingBytes} bytes left out ...]\n${tail.toString("utf8")}`;
  }

  #pushTail(chunk: Buffer): void {
    const part = chunk.length > this.#tailLimit ? chunk.subarray(chunk.length - this.#tailLimit) : chunk;
    this.#tail.push(part);
    this.#tailBytes += part.length;
    while (this.#tailBytes > this.#tailLimit) {
      const first = this.#tail[0] as Buffer;
      const excess = this.#tailBytes - this.#tailLimit;
      if (first.length <= excess) this.#tail.shift();
      else this.#tail[0] = first.subarray(excess);
      this.#tailBytes -= Math.min(first.length, excess);
    }
    if (this.#tail.length > 1024) this.#tail = [Buffer.concat(this.#tail)];
  }
}
