/** Pieces below this size are copied together while others wait before them. */
const SMALL_BYTES = 16 * 1024;
const SLAB_BYTES = 64 * 1024;

/**
 * Bytes in order. Small pieces that wait are copied into slabs, so that a sender of single bytes costs the memory of
 * its bytes and not an object (with the whole chunk it was cut from) for each.
 */
export class ByteQueue {
  #chunks: Buffer[] = [];
  #slab: Buffer | undefined;
  #slabUsed = 0;
  #bytes = 0;

  get length(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#bytes > 0 && chunk.length < SMALL_BYTES) this.#collect(chunk);
    else {
      this.#closeSlab();
      this.#chunks.push(chunk);
    }
    this.#bytes += chunk.length;
  }

  /** The first `count` bytes, which must be there. Copies only what lies in several pieces. */
  take(count: number): Buffer {
    this.#closeSlab();
    const first = this.#chunks[0];
    if (first === undefined || count === 0) return Buffer.alloc(0);
    this.#bytes -= count;
    if (first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    if (first.length === count) {
      this.#chunks.shift();
      return first;
    }
    return this.#takeAcross(count);
  }

  /** The next piece as it lies, of at most `limit` bytes. */
  takePiece(limit: number): Buffer {
    this.#closeSlab();
    return this.take(Math.min(limit, this.#chunks[0]?.length ?? 0));
  }

  clear(): void {
    this.#chunks = [];
    this.#slab = undefined;
    this.#bytes = 0;
  }

  #collect(chunk: Buffer): void {
    if (this.#slab !== undefined && this.#slabUsed + chunk.length > SLAB_BYTES) this.#closeSlab();
    if (this.#slab === undefined) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    this.#slabUsed += chunk.copy(this.#slab, this.#slabUsed);
  }

  #closeSlab(): void {
    if (this.#slab === undefined) return;
    const filled = this.#slab.subarray(0, this.#slabUsed);
    this.#chunks.push(filled.length < SLAB_BYTES / 2 ? Buffer.from(filled) : filled);
    this.#slab = undefined;
  }

  #takeAcross(count: number): Buffer {
    const parts: Buffer[] = [];
    let missing = count;
    let used = 0;
    while (missing > 0) {
      const chunk = this.#chunks[used] as Buffer;
      const part = chunk.subarray(0, missing);
      parts.push(part);
      missing -= part.length;
      if (part.length === chunk.length) used += 1;
      else this.#chunks[used] = chunk.subarray(part.length);
    }
    this.#chunks.splice(0, used);
    return Buffer.concat(parts, count);
  }
}
