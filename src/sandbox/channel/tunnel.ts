import { Duplex } from "node:stream";
import type { Connection } from "./connection.ts";
import { readControl } from "./control.ts";
import { breach, FRAME, MAX_PAYLOAD_BYTES } from "./frames.ts";

export interface TunnelOptions {
  /** A relay owns its connection and closes it; a `connect` call gives it back after `done`. */
  readonly ownsConnection: boolean;
  /** The tunnel is over; called once. */
  readonly onClosed: () => void;
  /** Controls that arrive inside the tunnel (`done`, `failed`); without it any control is a breach. */
  readonly onControl?: (control: { readonly op: string } & Readonly<Record<string, unknown>>) => void;
}

/** A byte stream in data frames of one connection, with half-close (`end`) and back-pressure in both directions. */
export class Tunnel extends Duplex {
  readonly #connection: Connection;
  readonly #options: TunnelOptions;
  #released = false;

  constructor(connection: Connection, options: TunnelOptions) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.#options = options;
    connection.setSink({
      frame: (frame) => {
        if (frame.type === FRAME.data) {
          if (!this.push(frame.payload)) connection.pause();
        } else if (frame.type === FRAME.end) this.push(null);
        else if (frame.type === FRAME.control && options.onControl) options.onControl(readControl(frame));
        else throw breach(`frame type ${frame.type} inside a tunnel`);
      },
      closed: (cause) => {
        if (!this.readableEnded) this.push(null);
        if (cause === undefined) this.#leave();
        else this.destroy(cause);
      },
    });
  }

  /** The far side is gone: what came is still read, what is written goes nowhere. */
  #leave(): void {
    this.#released = true;
    if (this.readableEnded) this.destroy();
    else this.once("end", () => this.destroy());
  }

  /** The connection belongs to somebody else from now on: what came is still read, what is written goes nowhere. */
  release(): void {
    this.#released = true;
    this.push(null);
    this.end();
  }

  override _read(): void {
    if (!this.#released) this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let ready = true;
    for (let offset = 0; offset < chunk.length && !this.#released; offset += MAX_PAYLOAD_BYTES) {
      ready = this.#connection.sendBytes(FRAME.data, chunk.subarray(offset, offset + MAX_PAYLOAD_BYTES));
    }
    if (ready) done();
    else void this.#whenDrained(done);
  }

  async #whenDrained(done: (error?: Error | null) => void): Promise<void> {
    await this.#connection.drained();
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#released) this.#connection.sendBytes(FRAME.end, Buffer.alloc(0));
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#options.ownsConnection) this.#connection.finish(error ?? undefined);
    this.#options.onClosed();
    done(error);
  }
}
