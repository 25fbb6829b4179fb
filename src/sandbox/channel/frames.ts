import { PaddockError } from "../../errors/error.ts";
import { ByteQueue } from "./byte-queue.ts";

/** Frame types of the channel protocol (docs/protocol.md). */
export const FRAME = { control: 1, data: 2, stdout: 3, stderr: 4, end: 5 } as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export interface Frame {
  readonly type: FrameType;
  /** 0 but for the frames of a multiplexer. */
  readonly stream: number;
  readonly payload: Buffer;
}

/** Of docs/protocol.md; templates are made for one. */
export const PROTOCOL_VERSION = 1;

export const HEADER_BYTES = 9;
export const MAX_PAYLOAD_BYTES = 1024 * 1024;
export const MAX_CONTROL_BYTES = 64 * 1024;

const LIMITS: Readonly<Record<FrameType, number>> = {
  [FRAME.control]: MAX_CONTROL_BYTES,
  [FRAME.data]: MAX_PAYLOAD_BYTES,
  [FRAME.stdout]: MAX_PAYLOAD_BYTES,
  [FRAME.stderr]: MAX_PAYLOAD_BYTES,
  [FRAME.end]: 0,
};

const isFrameType = (value: number): value is FrameType => Object.hasOwn(LIMITS, value);

/** Header of a frame whose payload follows; the payload is not copied. */
export function encodeHeader(type: FrameType, length: number, stream = 0): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(length, 0);
  header.writeUInt8(type, 4);
  header.writeUInt32BE(stream, 5);
  return header;
}

export function encodeControl(message: object): Buffer {
  const payload = Buffer.from(JSON.stringify(message));
  if (payload.length > MAX_CONTROL_BYTES) {
    throw new PaddockError(
      "invalid_request",
      `a control message of ${payload.length} bytes is above ${MAX_CONTROL_BYTES}`,
      {
        hint: "Send large input as a file or through standard input.",
      },
    );
  }
  return Buffer.concat([encodeHeader(FRAME.control, payload.length), payload]);
}

/** Which frames a stream may carry: throws a breach for any other. Runs before a payload is awaited. */
export type FrameRule = (type: FrameType, length: number, stream: number) => void;

const checkDialed: FrameRule = (type, length, stream) => {
  if (length > LIMITS[type]) throw breach(`a frame of type ${type} announces ${length} bytes`);
  if (stream !== 0) throw breach("a dialed connection carries stream 0 only");
};

/**
 * Cuts a byte stream into frames. Lengths are checked before anything is kept or allocated;
 * memory is bounded by one frame plus one chunk. Throws `protocol_error` on a breach.
 */
export class FrameParser {
  readonly #queue = new ByteQueue();
  readonly #rule: FrameRule;
  /** The checked header of the frame whose payload is awaited. */
  #awaited: { readonly type: FrameType; readonly length: number; readonly stream: number } | undefined;

  /** Without a rule: the frames of one connection, on stream 0. */
  constructor(rule: FrameRule = checkDialed) {
    this.#rule = rule;
  }

  push(chunk: Buffer): void {
    this.#queue.push(chunk);
  }

  /** True while part of a frame is held. */
  get partial(): boolean {
    return this.#queue.length > 0 || this.#awaited !== undefined;
  }

  /** The next whole frame, or undefined until more bytes come. */
  next(): Frame | undefined {
    this.#awaited ??= this.#readHeader();
    if (this.#awaited === undefined || this.#queue.length < this.#awaited.length) return undefined;
    const { type, length, stream } = this.#awaited;
    this.#awaited = undefined;
    return { type, stream, payload: this.#queue.take(length) };
  }

  #readHeader(): { type: FrameType; length: number; stream: number } | undefined {
    if (this.#queue.length < HEADER_BYTES) return undefined;
    const header = this.#queue.take(HEADER_BYTES);
    const length = header.readUInt32BE(0);
    const type = header.readUInt8(4);
    const stream = header.readUInt32BE(5);
    if (!isFrameType(type)) throw breach(`unknown frame type ${type}`);
    this.#rule(type, length, stream);
    return { type, length, stream };
  }
}

export function breach(detail: string): PaddockError {
  return new PaddockError("protocol_error", `the sandbox broke the channel protocol: ${detail}`);
}
