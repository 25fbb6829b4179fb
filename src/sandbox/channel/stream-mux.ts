import type { Duplex } from "node:stream";
import { z } from "zod";
import { readControl } from "./control.ts";
import { FrameBudget } from "./frame-budget.ts";
import {
  breach,
  encodeControl,
  encodeHeader,
  FRAME,
  type Frame,
  FrameParser,
  type FrameRule,
  MAX_CONTROL_BYTES,
} from "./frames.ts";
import { expectMessage } from "./messages.ts";
import { MAX_PIECE_BYTES, VirtualStream, WINDOW_BYTES } from "./virtual-stream.ts";

/** Connections (64) and handshakes (4) that may exist at once, as on a listening socket. */
const MAX_STREAMS = 68;

const stream = z.int().min(1).max(0xffff_ffff);
const MuxControl = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("open"), stream }),
  z.strictObject({ op: z.literal("credit"), stream, bytes: z.int().min(1).max(WINDOW_BYTES) }),
  z.strictObject({ op: z.literal("closed"), stream }),
]);

const checkMuxed: FrameRule = (type, length, number) => {
  if (number === 0) {
    if (type !== FRAME.control || length > MAX_CONTROL_BYTES) throw breach(`frame type ${type} on stream 0`);
  } else if (type === FRAME.data) {
    if (length === 0 || length > MAX_PIECE_BYTES) throw breach(`a piece of ${length} bytes on a stream`);
  } else if (type !== FRAME.end || length !== 0) throw breach(`frame type ${type} on a stream`);
};

export interface MuxEvents {
  /** The sandbox opened a connection. */
  opened(stream: Duplex): void;
  /** The rules were broken. Called once; the mux is destroyed. */
  breach(error: Error): void;
}

/**
 * Many connections over one byte stream, with a credit window for each way of each (docs/protocol.md, "Over one
 * stream"). It never stops reading: what a slow reader leaves is bounded by its window. What it sends goes round the
 * streams, one piece of each.
 */
export class StreamMux {
  readonly #stream: Duplex;
  readonly #events: MuxEvents;
  readonly #parser = new FrameParser(checkMuxed);
  readonly #budget = new FrameBudget();
  readonly #streams = new Map<number, VirtualStream>();
  /** Streams that have something to send, in turn. */
  readonly #turns = new Set<VirtualStream>();
  #lastOpened = 0;
  #blocked = false;
  #over = false;
  #partialSince: number | undefined;

  constructor(stream: Duplex, events: MuxEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("drain", () => {
      this.#blocked = false;
      this.#send();
    });
    stream.on("error", () => this.destroy());
    stream.on("end", () => this.destroy());
    stream.on("close", () => this.destroy());
  }

  /** Monotonic time since which an incomplete frame has been waiting for its rest. */
  get partialSince(): number | undefined {
    return this.#partialSince;
  }

  /** For the time in which the sandbox stood still. */
  forgetPartial(): void {
    if (this.#partialSince !== undefined) this.#partialSince = performance.now();
  }

  /** Ends every connection, and the stream below. Idempotent. */
  destroy(): void {
    if (this.#over) return;
    this.#over = true;
    this.#partialSince = undefined;
    this.#turns.clear();
    for (const virtual of this.#streams.values()) virtual.destroy();
    this.#streams.clear();
    this.#stream.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    this.#parser.push(chunk);
    try {
      for (let frame = this.#parser.next(); frame !== undefined && !this.#over; frame = this.#parser.next()) {
        this.#partialSince = undefined;
        this.#budget.spend(frame);
        this.#take(frame);
      }
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      this.destroy();
      this.#events.breach(cause);
      return;
    }
    if (this.#over || !this.#parser.partial) this.#partialSince = undefined;
    else this.#partialSince ??= performance.now();
  }

  #take(frame: Frame): void {
    if (frame.stream === 0) this.#obey(expectMessage(MuxControl, readControl(frame)));
    else if (frame.type === FRAME.data) this.#find(frame.stream).receive(frame.payload);
    else this.#find(frame.stream).receiveEnd();
  }

  #obey(control: z.infer<typeof MuxControl>): void {
    if (control.op === "open") this.#open(control.stream);
    else if (control.op === "credit") this.#find(control.stream).addCredit(control.bytes);
    else this.#find(control.stream).receiveClosed();
  }

  #find(number: number): VirtualStream {
    const found = this.#streams.get(number);
    if (found === undefined) throw breach(`stream ${number} is not open`);
    return found;
  }

  #open(number: number): void {
    if (number !== this.#lastOpened + 1) throw breach(`stream ${number} was opened after ${this.#lastOpened}`);
    if (this.#streams.size >= MAX_STREAMS) throw breach(`more than ${MAX_STREAMS} streams at once`);
    this.#lastOpened = number;
    const virtual = new VirtualStream(number, {
      ready: (ready) => {
        this.#turns.add(ready);
        this.#send();
      },
      gone: () => this.#streams.delete(number),
    });
    virtual.on("error", () => undefined);
    this.#streams.set(number, virtual);
    this.#events.opened(virtual);
  }

  /** One thing of each stream in turn, until the stream below is full. */
  #send(): void {
    if (this.#blocked || this.#over) return;
    for (const virtual of this.#turns) {
      this.#turns.delete(virtual);
      if (this.#sendOne(virtual)) this.#turns.add(virtual);
      if (this.#blocked || this.#over) return;
    }
  }

  /** Whether there is more to send. */
  #sendOne(virtual: VirtualStream): boolean {
    const sending = virtual.nextToSend();
    if (sending === undefined) return false;
    const { number } = virtual;
    if (sending.kind === "control") return this.#write([encodeControl(sending.message)]);
    if (sending.kind === "end") return this.#write([encodeHeader(FRAME.end, 0, number)]);
    return this.#write([encodeHeader(FRAME.data, sending.bytes, number), ...sending.pieces]);
  }

  #write(parts: readonly Buffer[]): true {
    this.#stream.cork();
    for (const part of parts) this.#blocked = !this.#stream.write(part);
    this.#stream.uncork();
    return true;
  }
}
