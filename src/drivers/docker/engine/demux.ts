import { Duplex } from "node:stream";
import { PaddockError } from "../../../errors/error.ts";
import { BoundedOutput } from "../../../lib/bounded-output.ts";

const HEADER_BYTES = 8;
const STDOUT = 1;
const STDERR = 2;
/** The engine copies in pieces of at most 32 KiB; more than this is no engine's frame. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
const STDERR_BYTES = 16 * 1024;

function makeGarbageError(header: Buffer): PaddockError {
  return new PaddockError("protocol_error", `the attached stream broke its framing (header ${header.toString("hex")})`);
}

/**
 * Cuts the engine's multiplexed bytes: `stdin, stdout or stderr | 3 zero bytes | u32 length | payload`. Holds a header
 * at most.
 */
export class FrameCutter {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  readonly #onPiece: (stream: 1 | 2, piece: Buffer) => void;
  #headerBytes = 0;
  #stream: 1 | 2 = STDOUT;
  #left = 0;

  /** Pieces are views of the given chunks, in order; a frame may come in several. */
  constructor(onPiece: (stream: 1 | 2, piece: Buffer) => void) {
    this.#onPiece = onPiece;
  }

  /** Throws `protocol_error` for what is no frame. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) at = this.#readHeader(chunk, at);
      else {
        const end = Math.min(chunk.length, at + this.#left);
        this.#left -= end - at;
        this.#onPiece(this.#stream, chunk.subarray(at, end));
        at = end;
      }
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#header, this.#headerBytes, at, at + HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += copied;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#headerBytes = 0;
      const stream = this.#header.readUInt8(0);
      const length = this.#header.readUInt32BE(4);
      const isFrame = this.#header.readUIntBE(1, 3) === 0 && length <= MAX_FRAME_BYTES;
      if (!isFrame || (stream !== STDOUT && stream !== STDERR)) throw makeGarbageError(this.#header);
      this.#stream = stream;
      this.#left = length;
    }
    return at + copied;
  }
}

/**
 * A container's standard input and output over an attached stream. Reading is paced by the reader: what it does not
 * take stays in the engine. Standard error is kept apart, its head and tail only. Broken framing destroys it with
 * `protocol_error`.
 */
export class ContainerStdio extends Duplex {
  readonly #attached: Duplex;
  /** Of copies: a view would keep the whole chunk it was cut from. */
  readonly #stderr = new BoundedOutput(STDERR_BYTES);
  readonly #cutter: FrameCutter;
  #isFull = false;

  constructor(attached: Duplex) {
    super({ allowHalfOpen: true });
    this.#attached = attached;
    this.#cutter = new FrameCutter((stream, piece) => {
      if (stream === STDERR) this.#stderr.push(Buffer.from(piece));
      else if (!this.push(piece)) this.#isFull = true;
    });
    attached.on("data", (chunk: Buffer) => this.#receive(chunk));
    attached.once("end", () => this.push(null));
    attached.once("error", (error) => this.destroy(error));
    attached.once("close", () => {
      if (!this.readableEnded) this.push(null);
    });
    attached.pause();
  }

  /** What came on standard error so far, for people. */
  get diagnosis(): string {
    return this.#stderr.text().trim();
  }

  /** Reads on without a reader, so that standard error is still kept; standard output is dropped. */
  discardOutput(): void {
    this.resume();
    this.on("error", () => undefined);
  }

  override _read(): void {
    this.#isFull = false;
    this.#attached.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#attached.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#attached.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#attached.destroy();
    done(error);
  }

  #receive(chunk: Buffer): void {
    try {
      this.#cutter.push(chunk);
      if (this.#isFull) this.#attached.pause();
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}
