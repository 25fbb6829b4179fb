import type { Socket } from "node:net";
import { parseUntrustedJson } from "../lib/json.ts";
import { breach, encodeControl, encodeHeader, FRAME, type Frame, FrameParser, type FrameType } from "./frames.ts";

/** What a connection does with incoming frames; replaced as its role changes. Returning a promise pauses reading until it settles. */
export interface FrameSink {
  frame(frame: Frame): void | Promise<void>;
  /** The connection is gone; `cause` tells why when something broke. */
  closed(cause: Error | undefined): void;
}

/** Frames of one connection within a second; a supervisor that works sends a small part of it. */
const MAX_FRAMES_PER_SECOND = 100_000;
const MAX_CONTROLS_PER_SECOND = 20_000;

/** Holds the rate of frames of one connection, so that a broken sandbox cannot keep the host's thread busy with tiny ones. */
class FrameBudget {
  #since = 0;
  #frames = 0;
  #controls = 0;

  spend(frame: Frame): void {
    const now = performance.now();
    if (now - this.#since > 1000) {
      this.#since = now;
      this.#frames = 0;
      this.#controls = 0;
    }
    this.#frames += 1;
    if (frame.type === FRAME.control) this.#controls += 1;
    if (this.#frames > MAX_FRAMES_PER_SECOND || this.#controls > MAX_CONTROLS_PER_SECOND)
      throw breach("too many frames in a second");
  }
}

/** One dialed connection: frames in order, back-pressure both ways, closed once. */
export class Connection {
  readonly #socket: Socket;
  readonly #parser = new FrameParser();
  readonly #budget = new FrameBudget();
  readonly #onBreach: (error: Error) => void;
  #sink: FrameSink;
  #paused = false;
  #closed = false;
  #partialSince: number | undefined;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(socket: Socket, sink: FrameSink, onBreach: (error: Error) => void) {
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

  setSink(sink: FrameSink): void {
    this.#sink = sink;
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
    if (this.#closed || !this.#socket.writableNeedDrain) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.once("drain", resolve);
    this.#socket.once("close", resolve);
    await promise;
    this.#socket.off("drain", resolve);
    this.#socket.off("close", resolve);
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
    else if (!this.#closed) this.#socket.destroySoon();
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

/** The control object of a frame, as untrusted JSON with an `op` text. */
export function readControl(frame: Frame): { readonly op: string } & Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseUntrustedJson(frame.payload.toString("utf8"));
  } catch (cause) {
    throw breach(`a control frame is no JSON (${cause instanceof Error ? cause.message.slice(0, 80) : "unreadable"})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw breach("a control frame is no object");
  const control = value as Record<string, unknown>;
  if (typeof control["op"] !== "string") throw breach("a control frame has no op");
  return control as { op: string } & Record<string, unknown>;
}
