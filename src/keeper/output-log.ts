import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

const KEPT_BYTES = 1024 * 1024;
/** Behind the ring in its file: where the next byte goes, and whether the ring has been full. */
const TRAILER_BYTES = 8;

/**
 * The last MiB of output of a kept sandbox, for `paddock logs`: a ring, so that many small writes cost no more. With a
 * file, the next keeper goes on where this one ended.
 */
export class OutputLog implements Disposable {
  readonly #ring = Buffer.alloc(KEPT_BYTES);
  readonly #file: number | undefined;
  #end = 0;
  #full = false;

  constructor(path?: string) {
    if (path === undefined) return;
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#load(this.#file);
  }

  push(chunk: Buffer): void {
    const kept = chunk.subarray(Math.max(0, chunk.length - KEPT_BYTES));
    const room = KEPT_BYTES - this.#end;
    this.#put(kept.subarray(0, room), this.#end);
    if (kept.length >= room) {
      this.#put(kept.subarray(room), 0);
      this.#full = true;
    }
    this.#end = (this.#end + kept.length) % KEPT_BYTES;
    this.#writeTrailer();
  }

  read(): Buffer {
    const newest = this.#ring.subarray(0, this.#end);
    return this.#full ? Buffer.concat([this.#ring.subarray(this.#end), newest]) : Buffer.from(newest);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #put(bytes: Buffer, at: number): void {
    bytes.copy(this.#ring, at);
    if (this.#file !== undefined && bytes.length > 0) writeSync(this.#file, bytes, 0, bytes.length, at);
  }

  #writeTrailer(): void {
    if (this.#file === undefined) return;
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32BE(this.#end, 0);
    trailer.writeUInt32BE(this.#full ? 1 : 0, 4);
    writeSync(this.#file, trailer, 0, TRAILER_BYTES, KEPT_BYTES);
  }

  /** A file that no keeper finished writing is taken for empty. */
  #load(file: number): void {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    if (fstatSync(file).size !== KEPT_BYTES + TRAILER_BYTES) {
      ftruncateSync(file, KEPT_BYTES + TRAILER_BYTES);
      return;
    }
    readSync(file, this.#ring, 0, KEPT_BYTES, 0);
    readSync(file, trailer, 0, TRAILER_BYTES, KEPT_BYTES);
    this.#end = trailer.readUInt32BE(0) % KEPT_BYTES;
    this.#full = trailer.readUInt32BE(4) === 1;
  }
}
