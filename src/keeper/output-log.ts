const KEPT_BYTES = 1024 * 1024;

/** The last MiB of output of a kept sandbox, for `paddock logs`: a ring, so that many small writes cost no more. */
export class OutputLog {
  readonly #ring = Buffer.alloc(KEPT_BYTES);
  #end = 0;
  #full = false;

  push(chunk: Buffer): void {
    const kept = chunk.subarray(Math.max(0, chunk.length - KEPT_BYTES));
    const room = KEPT_BYTES - this.#end;
    kept.copy(this.#ring, this.#end, 0, Math.min(room, kept.length));
    if (kept.length >= room) {
      kept.copy(this.#ring, 0, room);
      this.#full = true;
    }
    this.#end = (this.#end + kept.length) % KEPT_BYTES;
  }

  read(): Buffer {
    const newest = this.#ring.subarray(0, this.#end);
    return this.#full ? Buffer.concat([this.#ring.subarray(this.#end), newest]) : Buffer.from(newest);
  }
}
