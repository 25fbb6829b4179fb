import fc from "fast-check";
import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import {
  encodeControl,
  encodeHeader,
  FRAME,
  type Frame,
  FrameParser,
  type FrameType,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
} from "../../src/sandbox/channel/frames.ts";

const frameType = fc.constantFrom<FrameType>(FRAME.control, FRAME.data, FRAME.stdout, FRAME.stderr);
const frame = fc.record({ type: frameType, payload: fc.uint8Array({ maxLength: 3000 }) });

function encode(frames: readonly { type: FrameType; payload: Uint8Array }[]): Buffer {
  return Buffer.concat(frames.flatMap((one) => [encodeHeader(one.type, one.payload.length), Buffer.from(one.payload)]));
}

function drain(parser: FrameParser): Frame[] {
  const frames: Frame[] = [];
  for (let next = parser.next(); next !== undefined; next = parser.next()) frames.push(next);
  return frames;
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let offset = 0;
  for (const size of [...sizes, bytes.length]) {
    chunks.push(bytes.subarray(offset, offset + size));
    offset += size;
  }
  return chunks;
}

test("frames - arrive whole and in order however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 60 }),
      (frames, sizes) => {
        const parser = new FrameParser();
        const received: Frame[] = [];
        for (const chunk of cut(encode(frames), sizes)) {
          parser.push(chunk);
          received.push(...drain(parser));
        }
        expect(received.map(({ type, payload }) => ({ type, payload: payload.toString("hex") }))).toEqual(
          frames.map(({ type, payload }) => ({ type, payload: Buffer.from(payload).toString("hex") })),
        );
        expect(parser.partial).toBe(false);
      },
    ),
  );
});

test("frames - random bytes give frames within limits or a protocol error, never anything else", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 5000 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 100 }),
      (bytes, sizes) => {
        const parser = new FrameParser();
        try {
          for (const chunk of cut(Buffer.from(bytes), sizes)) {
            parser.push(chunk);
            for (const one of drain(parser)) expect(one.payload.length).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(PaddockError);
          expect((error as PaddockError).code).toBe("protocol_error");
        }
      },
    ),
  );
});

test("frames - a length above the type's limit is refused from the header alone", () => {
  const parser = new FrameParser();
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(0xff_ff_ff_ff, 0);
  header.writeUInt8(FRAME.data, 4);
  parser.push(header);
  expect(() => parser.next()).toThrow(/announces 4294967295 bytes/);
});

test("frames - 100,000 tiny frames in one chunk are cut without recursion", () => {
  const one = Buffer.concat([encodeHeader(FRAME.stdout, 1), Buffer.from("x")]);
  const parser = new FrameParser();
  parser.push(Buffer.concat(Array.from({ length: 100_000 }, () => one)));
  expect(drain(parser)).toHaveLength(100_000);
});

test("frames - a control message above 64 KiB is refused before it is sent", () => {
  expect(() => encodeControl({ op: "start", argv: ["x".repeat(70_000)] })).toThrow(/above 65536/);
});
