import { PaddockError } from "../errors/error.ts";

/** Frame types of the channel protocol (docs/protocol.md). */
export const FRAME = { control: 1, data: 2, stdout: 3, stderr: 4, end: 5 } as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export interface Frame {
  readonly type: FrameType;
  readonly payload: Buffer;
}

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
export function encodeHeader(type: FrameType, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(length, 0);
  header.writeUInt8(type, 4);
  header.writeUInt32BE(0, 5);
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

/**
 * Cuts a byte stream into frames. Lengths are checked before anything is kept or allocated;
 * memory is bounded by one frame plus one chunk. Throws `protocol_error` on a breach.
 */
export class FrameParser {
  #chunks: Buffer[] = [];
  #bytes = 0;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** True while part of a frame is held. */
  get partial(): boolean {
    return this.#bytes > 0;
  }

  /** The next whole frame, or undefined until more bytes come. */
  next(): Frame | undefined {
    if (this.#bytes < HEADER_BYTES) return undefined;
    const header = this.#peek(HEADER_BYTES);
    const length = header.readUInt32BE(0);
    const type = header.readUInt8(4);
    if (!isFrameType(type)) throw breach(`unknown frame type ${type}`);
    if (length > LIMITS[type]) throw breach(`a frame of type ${type} announces ${length} bytes`);
    if (header.readUInt32BE(5) !== 0) throw breach("a dialed connection carries stream 0 only");
    if (this.#bytes < HEADER_BYTES + length) return undefined;
    this.#take(HEADER_BYTES);
    return { type, payload: this.#take(length) };
  }

  #peek(count: number): Buffer {
    const first = this.#chunks[0] as Buffer;
    if (first.length >= count) return first.subarray(0, count);
    this.#chunks = [Buffer.concat(this.#chunks)];
    return (this.#chunks[0] as Buffer).subarray(0, count);
  }

  #take(count: number): Buffer {
    this.#bytes -= count;
    const first = this.#chunks[0];
    if (first === undefined || count === 0) return Buffer.alloc(0);
    if (first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    if (first.length === count) {
      this.#chunks.shift();
      return first;
    }
    return this.#takeAcross(count);
  }

  #takeAcross(count: number): Buffer {
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = whole.length > count ? [whole.subarray(count)] : [];
    return whole.subarray(0, count);
  }
}

export function breach(detail: string): PaddockError {
  return new PaddockError("protocol_error", `the sandbox broke the channel protocol: ${detail}`);
}
