const MAX_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8 * 1024;
const LF = 0x0a;
const SIZE_LINE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e]*)?\r$/;

/** A chunked body that breaks the grammar or its limits. */
export class ChunkedError extends Error {}

/**
 * Takes a chunked body apart. Extensions and trailers are checked for length and dropped, so what leaves the proxy is
 * always written by the proxy.
 */
export class ChunkedDecoder {
  #state: "size" | "data" | "gap" | "trailer" | "done" = "size";
  #line = "";
  #left = 0;
  #trailerBytes = 0;

  /** True after the last chunk and its trailers. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Slices of body data in `bytes`, and what follows the body once it is done. */
  push(bytes: Buffer): { readonly data: readonly Buffer[]; readonly rest: Buffer } {
    const data: Buffer[] = [];
    let offset = 0;
    while (offset < bytes.length && this.#state !== "done") {
      if (this.#state === "data") {
        const part = bytes.subarray(offset, offset + this.#left);
        data.push(part);
        offset += part.length;
        this.#left -= part.length;
        if (this.#left === 0) this.#state = "gap";
      } else {
        offset = this.#takeLine(bytes, offset);
      }
    }
    return { data, rest: bytes.subarray(offset) };
  }

  #takeLine(bytes: Buffer, offset: number): number {
    const lf = bytes.indexOf(LF, offset);
    const end = lf < 0 ? bytes.length : lf;
    if (this.#line.length + end - offset > MAX_LINE_BYTES * (this.#state === "trailer" ? 32 : 1)) {
      throw new ChunkedError("a line between chunks is too long");
    }
    this.#line += bytes.toString("latin1", offset, end);
    if (lf < 0) return end;
    const line = this.#line;
    this.#line = "";
    this.#endLine(line);
    return lf + 1;
  }

  #endLine(line: string): void {
    if (!line.endsWith("\r")) throw new ChunkedError("a line between chunks ends in a bare LF");
    if (this.#state === "size") this.#beginChunk(line);
    else if (this.#state === "gap") this.#endChunk(line);
    else this.#takeTrailer(line);
  }

  #beginChunk(line: string): void {
    const size = SIZE_LINE.exec(line)?.[1];
    if (size === undefined) throw new ChunkedError("a chunk size is malformed");
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? "trailer" : "data";
  }

  #endChunk(line: string): void {
    if (line !== "\r") throw new ChunkedError("a chunk is longer than its size");
    this.#state = "size";
  }

  #takeTrailer(line: string): void {
    this.#trailerBytes += line.length;
    if (this.#trailerBytes > MAX_TRAILER_BYTES) throw new ChunkedError("the trailers are too long");
    if (line === "\r") this.#state = "done";
  }
}

const CRLF = Buffer.from("\r\n");

export const LAST_CHUNK = Buffer.from("0\r\n\r\n");

export const encodeChunk = (data: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, CRLF]);
