import type { Duplex } from "node:stream";
import { awaitDrain } from "../../lib/stream.ts";
import { FrameBudget } from "./frame-budget.ts";
import { encodeControl, encodeHeader, FRAME, type Frame, FrameParser, type FrameType } from "./frames.ts";

/**
 * What a connection does with incoming frames; replaced as its role changes. Returning a promise pauses reading until
 * it settles.
 */
export interface FrameSink {
  frame(frame: Frame): void | Promise<void>;
  /** The connection is gone; `cause` tells why when something broke. */
  closed(cause: Error | undefined): void;
}

/**
 * One dialed connection, over a socket or a stream of a `StreamMux`: frames in order, back-pressure both ways, closed
 * once.
 */
export class Connection {
  readonly #socket: Duplex;
  readonly #parser = new FrameParser();
  readonly #budget = new FrameBudget();
  readonly #onBreach: (error: Error) => void;
  #sink: FrameSink;
  #paused = false;
  #closed = false;
  #partialSince: number | undefined;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(socket: Duplex, sink: FrameSink, onBreach: (error: Error) => void) {
    this.#socket = socket;
    this.#sink = sink;
    this.#onBreach = onBreach;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#close(error));
    socket.on("close", () => this.#close(undefined));
    socket.on("end", () => socket.destroy());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Monotonic time since which an incomplete frame has been waiting for its rest. */
  get partialSince(): number | undefined {
    return this.#partialSince;
  }

  /** Counts the age of an incomplete frame from now: the sandbox stood still. */
  forgetPartial(): void {
    if (this.#partialSince !== undefined) this.#partialSince = performance.now();
  }

  /** A sink of a connection that is closed already is told so at once. */
  setSink(sink: FrameSink): void {
    this.#sink = sink;
    if (this.#closed) sink.closed(undefined);
  }

  sendControl(message: object): void {
    if (!this.#closed) this.#socket.write(encodeControl(message));
  }

  /** Sends one frame of at most 1 MiB; false means: wait for `drained()` before sending more. */
  sendBytes(type: FrameType, payload: Buffer): boolean {
    if (this.#closed) return true;
    this.sentBytes += payload.length;
    this.#socket.cork();
    this.#socket.write(encodeHeader(type, payload.length));
    const ready = payload.length === 0 || this.#socket.write(payload);
    this.#socket.uncork();
    return ready;
  }

  async drained(): Promise<void> {
    if (!this.#closed && this.#socket.writableNeedDrain) await awaitDrain(this.#socket);
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
    this.#drainParser();
  }

  destroy(cause?: Error): void {
    this.#socket.destroy();
    this.#close(cause);
  }

  /** Sends what is queued, then closes; with an error it closes at once. */
  finish(error?: Error): void {
    if (error !== undefined) this.destroy(error);
    else if (!this.#closed) this.#socket.end(() => this.#socket.destroy());
  }

  #receive(chunk: Buffer): void {
    this.#parser.push(chunk);
    this.#drainParser();
  }

  #drainParser(): void {
    try {
      while (!this.#paused && !this.#closed) {
        const frame = this.#parser.next();
        if (frame === undefined) break;
        this.#partialSince = undefined;
        this.#budget.spend(frame);
        this.#deliver(frame);
      }
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      this.#onBreach(cause);
      this.destroy(cause);
      return;
    }
    if (!this.#parser.partial) this.#partialSince = undefined;
    else if (!this.#paused) this.#partialSince ??= performance.now();
  }

  #deliver(frame: Frame): void {
    if (frame.type !== FRAME.control) this.receivedBytes += frame.payload.length;
    const pending = this.#sink.frame(frame);
    if (pending === undefined) return;
    this.pause();
    pending.then(
      () => this.resume(),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }

  #close(cause: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sink.closed(cause);
  }
}
