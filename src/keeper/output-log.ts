const KEPT_BYTES = 1024 * 1024;

/** The last MiB of output of a kept sandbox, for `paddock logs`. */
export class OutputLog {
  #chunks: Buffer[] = [];
  #bytes = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes <= 2 * KEPT_BYTES) return;
    const kept = this.read();
    this.#chunks = [kept];
    this.#bytes = kept.length;
  }

  read(): Buffer {
    const all = Buffer.concat(this.#chunks);
    return all.subarray(Math.max(0, all.length - KEPT_BYTES));
  }
}
