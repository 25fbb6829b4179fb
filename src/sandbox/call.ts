import type { z } from "zod";
import type { ErrorCode } from "../errors/codes.ts";
import { PaddockError } from "../errors/error.ts";
import type { Channel } from "./channel/channel.ts";
import type { Connection } from "./channel/connection.ts";
import { readControl } from "./channel/control.ts";
import { breach, FRAME, type Frame, MAX_PAYLOAD_BYTES } from "./channel/frames.ts";
import { expectMessage, Failed } from "./channel/messages.ts";

type Sink = (chunk: Buffer) => void | Promise<void>;
type Control = { readonly op: string } & Readonly<Record<string, unknown>>;

/** What a caller does with the frames of one call. A frame without a sink is a breach. Promises give back-pressure. */
export interface CallSinks {
  readonly data?: Sink;
  readonly stdout?: Sink;
  readonly stderr?: Sink;
  readonly event?: (control: Control) => void;
  /** Looks at the parsed `done` before it counts; what it throws is a breach. */
  readonly done?: (report: unknown) => void;
}

/** Bytes of payload of one call, without frame headers and control messages. */
export interface CallBytes {
  sent: number;
  received: number;
}

/** One request on one connection, from taking the connection to giving it back. */
export class Call<Done extends z.ZodType> {
  /** The id on the wire. */
  readonly id: string;
  readonly bytes: CallBytes = { sent: 0, received: 0 };
  /** The parsed `done`; rejects with a PaddockError for `failed`, a breach, or a lost connection. */
  readonly done: Promise<z.infer<Done>>;
  readonly #channel: Channel;
  readonly #connection: Connection;
  readonly #schema: Done;
  readonly #sinks: CallSinks;
  readonly #settle: PromiseWithResolvers<z.infer<Done>> = Promise.withResolvers();
  #over = false;

  constructor(channel: Channel, connection: Connection, request: object, schema: Done, sinks: CallSinks, id: string) {
    this.id = id;
    this.#channel = channel;
    this.#connection = connection;
    this.#schema = schema;
    this.#sinks = sinks;
    this.done = this.#settle.promise;
    this.done.catch(() => undefined);
    connection.setSink({ frame: (frame) => this.#receive(frame), closed: (cause) => this.#lost(cause) });
    connection.sendControl({ ...request, call: id });
  }

  sendControl(control: object): void {
    if (!this.#over) this.#connection.sendControl(control);
  }

  /** Sends data frames; resolves when the connection takes more. Bytes after the call's end are dropped. */
  async sendData(chunk: Buffer): Promise<void> {
    for (let offset = 0; offset < chunk.length && !this.#over; offset += MAX_PAYLOAD_BYTES) {
      const part = chunk.subarray(offset, offset + MAX_PAYLOAD_BYTES);
      this.bytes.sent += part.length;
      if (!this.#connection.sendBytes(FRAME.data, part)) await this.#connection.drained();
    }
  }

  endData(): void {
    if (!this.#over) this.#connection.sendBytes(FRAME.end, Buffer.alloc(0));
  }

  #receive(frame: Frame): void | Promise<void> {
    switch (frame.type) {
      case FRAME.data:
        return this.#bytes(this.#sinks.data, frame);
      case FRAME.stdout:
        return this.#bytes(this.#sinks.stdout, frame);
      case FRAME.stderr:
        return this.#bytes(this.#sinks.stderr, frame);
      case FRAME.end:
        return;
      case FRAME.control:
        return this.#control(readControl(frame));
    }
  }

  #bytes(sink: Sink | undefined, frame: Frame): void | Promise<void> {
    if (sink === undefined) throw breach(`a frame of type ${frame.type} does not belong to this call`);
    this.bytes.received += frame.payload.length;
    return sink(frame.payload);
  }

  #control(control: Control): void {
    if (control.op === "done") {
      const parsed = expectMessage(this.#schema, control);
      this.#sinks.done?.(parsed);
      this.#finish();
      this.#settle.resolve(parsed);
    } else if (control.op === "failed") {
      const failed = expectMessage(Failed, control);
      this.#finish();
      this.#settle.reject(failure(failed.code, failed.message));
    } else if (this.#sinks.event) this.#sinks.event(control);
    else throw breach(`event ${control.op.slice(0, 32)} does not belong to this call`);
  }

  #finish(): void {
    this.#over = true;
    this.#connection.sendControl({ op: "release" });
    this.#channel.giveBack(this.#connection);
  }

  #lost(cause: Error | undefined): void {
    this.#over = true;
    this.#channel.forget(this.#connection);
    this.#settle.reject(
      cause instanceof PaddockError
        ? cause
        : new PaddockError("supervisor_lost", "the connection broke during a call", { cause }),
    );
  }
}

const FAILURES: Readonly<Record<string, ErrorCode>> = {
  not_found: "not_found",
  refused: "path_refused",
  archive_refused: "archive_refused",
  invalid: "invalid_request",
};

/** A supervisor's `failed` as an error; `context.reason` keeps the protocol's code. */
function failure(reason: string, message: string): PaddockError {
  const code = Object.hasOwn(FAILURES, reason) ? FAILURES[reason] : undefined;
  return new PaddockError(code ?? "file_error", message, { context: { reason } });
}
