import { Duplex } from "node:stream";
import { ByteQueue } from "./byte-queue.ts";
import { breach } from "./frames.ts";

/** Bytes that each way of a virtual connection may be ahead of its reader. */
export const WINDOW_BYTES = 256 * 1024;
export const MAX_PIECE_BYTES = 64 * 1024;
/** Credit is given back in portions, so that a reader of small pieces does not answer each. */
const CREDIT_PORTION_BYTES = 64 * 1024;

export type Sending =
  | { readonly kind: "control"; readonly message: object }
  | { readonly kind: "data"; readonly pieces: readonly Buffer[]; readonly bytes: number }
  | { readonly kind: "end" };

export interface StreamOwner {
  /** `stream` has something that may be sent now. */
  ready(stream: VirtualStream): void;
  /** Both sides have closed. */
  gone(): void;
}

/** One connection of a `StreamMux`: a byte stream with half-close and a credit window each way. */
export class VirtualStream extends Duplex {
  readonly number: number;
  readonly #owner: StreamOwner;
  readonly #incoming = new ByteQueue();
  readonly #outgoing = new ByteQueue();
  /** Bytes the peer may still send, and those it was not told of yet. */
  #window = WINDOW_BYTES;
  #owed = 0;
  #credit = WINDOW_BYTES;
  #wanted = false;
  #written: (() => void) | undefined;
  #ending: (() => void) | undefined;
  #endReceived = false;
  #closedReceived = false;
  #closing = false;
  #closedSent = false;

  constructor(number: number, owner: StreamOwner) {
    // what waits lies in `#incoming`, where small pieces cost what they hold
    super({ allowHalfOpen: true, readableHighWaterMark: 0, writableHighWaterMark: WINDOW_BYTES });
    this.number = number;
    this.#owner = owner;
  }

  // What the mux calls

  receive(piece: Buffer): void {
    if (this.#endReceived || this.#closedReceived) throw breach(`data after the end of stream ${this.number}`);
    if (piece.length > this.#window) throw breach(`more bytes on stream ${this.number} than its window`);
    this.#window -= piece.length;
    if (this.#closing) return;
    this.#incoming.push(piece);
    this.#deliver();
  }

  receiveEnd(): void {
    if (this.#endReceived || this.#closedReceived) throw breach(`a second end of stream ${this.number}`);
    this.#endReceived = true;
    this.#deliver();
  }

  receiveClosed(): void {
    if (this.#closedReceived) throw breach(`stream ${this.number} was closed twice`);
    this.#closedReceived = true;
    this.#outgoing.clear();
    this.#confirmWrite();
    if (this.#closing) this.#leaveWhenDone();
    else this.#deliver();
  }

  addCredit(bytes: number): void {
    if (this.#closedReceived || this.#credit + bytes > WINDOW_BYTES)
      throw breach(`credit beyond the window of stream ${this.number}`);
    this.#credit += bytes;
    if (this.#outgoing.length > 0) this.#owner.ready(this);
  }

  /** What is next in its turn, or undefined when nothing may be sent now. */
  nextToSend(): Sending | undefined {
    if (this.#closedSent) return undefined;
    if (this.#closing) {
      this.#closedSent = true;
      this.#leaveWhenDone();
      return { kind: "control", message: { op: "closed", stream: this.number } };
    }
    if (this.#owed >= CREDIT_PORTION_BYTES) return this.#giveCredit();
    const bytes = Math.min(this.#credit, this.#outgoing.length, MAX_PIECE_BYTES);
    if (bytes > 0) return this.#takePiece(bytes);
    if (this.#ending === undefined || this.#outgoing.length > 0) return undefined;
    const ended = this.#ending;
    this.#ending = undefined;
    queueMicrotask(ended);
    return { kind: "end" };
  }

  #giveCredit(): Sending {
    const bytes = this.#owed;
    this.#owed = 0;
    this.#window += bytes;
    return { kind: "control", message: { op: "credit", stream: this.number, bytes } };
  }

  #takePiece(bytes: number): Sending {
    const pieces: Buffer[] = [];
    for (let missing = bytes; missing > 0; ) {
      const piece = this.#outgoing.takePiece(missing);
      pieces.push(piece);
      missing -= piece.length;
    }
    this.#credit -= bytes;
    if (this.#outgoing.length === 0) this.#confirmWrite();
    return { kind: "data", pieces, bytes };
  }

  #confirmWrite(): void {
    if (this.#written !== undefined) queueMicrotask(this.#written);
    this.#written = undefined;
  }

  #leaveWhenDone(): void {
    if (this.#closedSent && this.#closedReceived) this.#owner.gone();
  }

  #deliver(): void {
    while (this.#wanted && this.#incoming.length > 0) {
      const piece = this.#incoming.takePiece(MAX_PIECE_BYTES);
      this.#owed += piece.length;
      this.#wanted = false;
      // `push` may call `_read` at once, which asks for more
      if (this.push(piece)) this.#wanted = true;
    }
    if (this.#owed >= CREDIT_PORTION_BYTES && !this.#endReceived) this.#owner.ready(this);
    if (this.#incoming.length === 0 && (this.#endReceived || this.#closedReceived)) this.push(null);
  }

  // What a Duplex needs

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#queue([chunk], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this.#queue(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  #queue(chunks: readonly Buffer[], done: () => void): void {
    // what a closed peer would discard is not sent
    if (!this.#closedReceived) for (const chunk of chunks) this.#outgoing.push(chunk);
    if (this.#outgoing.length === 0) {
      done();
      return;
    }
    this.#written = done;
    this.#owner.ready(this);
  }

  override _final(done: () => void): void {
    this.#ending = done;
    this.#owner.ready(this);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#closing = true;
    this.#incoming.clear();
    this.#outgoing.clear();
    this.#written = this.#ending = undefined;
    this.#owner.ready(this);
    done(error);
  }
}
