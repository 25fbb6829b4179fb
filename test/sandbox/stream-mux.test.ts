import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { readControl } from "../../src/sandbox/channel/control.ts";
import {
  encodeControl,
  encodeHeader,
  FRAME,
  type Frame,
  FrameParser,
  type FrameType,
} from "../../src/sandbox/channel/frames.ts";
import { StreamMux } from "../../src/sandbox/channel/stream-mux.ts";

const WINDOW = 256 * 1024;
const PIECE = 64 * 1024;

let peer: Duplex;
let mux: StreamMux;
let opened: Duplex[];
let broken: PromiseWithResolvers<Error>;
let breaches: number;

beforeEach(() => makeMux());

function makeMux(): void {
  const [ours, theirs] = duplexPair();
  peer = theirs;
  peer.on("error", () => undefined);
  opened = [];
  breaches = 0;
  broken = Promise.withResolvers();
  mux = new StreamMux(ours, {
    opened: (stream) => void opened.push(stream),
    breach: (error) => {
      breaches += 1;
      broken.resolve(error);
    },
  });
}

function control(message: object): Buffer {
  return encodeControl(message);
}

function open(stream: number): Buffer {
  return control({ op: "open", stream });
}

function frame(type: FrameType, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([encodeHeader(type, payload.length, stream), payload]);
}

/** Every whole frame the host sends, as it comes. */
async function* frames(): AsyncGenerator<Frame> {
  const parser = new FrameParser(() => undefined);
  for await (const chunk of peer) {
    parser.push(chunk as Buffer);
    for (let next = parser.next(); next; next = parser.next()) yield next;
  }
}

async function send(...parts: readonly Buffer[]): Promise<void> {
  if (!peer.write(Buffer.concat(parts))) await once(peer, "drain");
}

/** The stream that the sandbox opens as number 1. */
async function openOne(): Promise<Duplex> {
  await send(open(1));
  while (opened.length === 0) await new Promise(setImmediate);
  return opened[0] as Duplex;
}

test("stream mux - bytes of each stream arrive in order, however frames and chunks are cut", async () => {
  const piece = fc.record({
    stream: fc.integer({ min: 1, max: 5 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 2000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), fc.integer({ min: 1, max: 3000 }), async (pieces, cut) => {
      makeMux();
      const received = new Map<number, Buffer[]>();
      const bytes = Buffer.concat([
        ...[1, 2, 3, 4, 5].map(open),
        ...pieces.map((one) => frame(FRAME.data, one.stream, Buffer.from(one.bytes))),
        ...[1, 2, 3, 4, 5].map((number) => frame(FRAME.end, number)),
      ]);
      for (let offset = 0; offset < bytes.length; offset += cut) await send(bytes.subarray(offset, offset + cut));
      while (opened.length < 5) await new Promise(setImmediate);
      await Promise.all(
        opened.map(async (stream, index) => {
          const chunks: Buffer[] = [];
          received.set(index + 1, chunks);
          for await (const chunk of stream) chunks.push(chunk as Buffer);
        }),
      );
      for (const number of [1, 2, 3, 4, 5]) {
        const sent = Buffer.concat(pieces.filter((one) => one.stream === number).map((one) => one.bytes));
        expect(Buffer.concat(received.get(number) ?? []).equals(sent)).toBe(true);
      }
      expect(breaches).toBe(0);
      mux.destroy();
    }),
    { numRuns: 40 },
  );
});

test("stream mux - random bytes are a breach or wait for more, and never anything else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 9, maxLength: 400 }), fc.boolean(), async (bytes, first) => {
      makeMux();
      await send(...(first ? [open(1)] : []), Buffer.from(bytes));
      await new Promise(setImmediate);
      if (breaches > 0) expect(await broken.promise).toMatchObject({ code: "protocol_error" });
      else mux.destroy();
    }),
    { numRuns: 300 },
  );
});

const closed = control({ op: "closed", stream: 1 });
const BREACHES: readonly (readonly [string, readonly Buffer[], RegExp])[] = [
  ["data on a stream that is not open", [frame(FRAME.data, 7, Buffer.from("x"))], /not open/],
  ["an end of a stream that is not open", [frame(FRAME.end, 7)], /not open/],
  ["credit for a stream that is not open", [control({ op: "credit", stream: 7, bytes: 1 })], /not open/],
  ["data after the end", [open(1), frame(FRAME.end, 1), frame(FRAME.data, 1, Buffer.from("x"))], /after the end/],
  ["a second end", [open(1), frame(FRAME.end, 1), frame(FRAME.end, 1)], /second end/],
  ["data after closed", [open(1), closed, frame(FRAME.data, 1, Buffer.from("x"))], /after the end|not open/],
  ["closing twice", [open(1), closed, closed], /closed twice/],
  ["a stream opened twice", [open(1), open(1)], /opened after 1/],
  ["a number left out", [open(2)], /opened after 0/],
  ["stream 0 opened", [open(0)], /schema/],
  ["credit beyond the window", [open(1), control({ op: "credit", stream: 1, bytes: 1 })], /credit beyond/],
  ["credit above any window", [open(1), control({ op: "credit", stream: 1, bytes: WINDOW + 1 })], /schema/],
  ["negative credit", [open(1), control({ op: "credit", stream: 1, bytes: -1 })], /schema/],
  ["an unknown control", [control({ op: "dance", stream: 1 })], /schema/],
  ["a field too many", [control({ op: "open", stream: 1, more: 1 })], /schema/],
  ["data on stream 0", [frame(FRAME.data, 0, Buffer.from("x"))], /on stream 0/],
  ["a control on a stream", [open(1), frame(FRAME.control, 1, Buffer.from("{}"))], /on a stream/],
  ["a giant length", [open(1), encodeHeader(FRAME.data, 0xffff_ffff, 1)], /a piece of 4294967295/],
  ["an empty piece", [open(1), frame(FRAME.data, 1)], /a piece of 0/],
  ["69 streams at once", Array.from({ length: 69 }, (_, index) => open(index + 1)), /more than 68/],
  [
    "more bytes than the window",
    [open(1), ...Array.from({ length: 5 }, () => frame(FRAME.data, 1, Buffer.alloc(PIECE)))],
    /than its window/,
  ],
];

test.each(BREACHES)("stream mux - %s is a breach and ends every stream", async (_name, parts, message) => {
  peer.resume();
  await send(...parts);
  expect((await broken.promise).message).toMatch(message);
  expect(breaches).toBe(1);
  for (const stream of opened) expect(stream.destroyed).toBe(true);
});

test("stream mux - 100,000 opens in one chunk are a breach at the 69th", async () => {
  peer.resume();
  await send(...Array.from({ length: 100_000 }, (_, index) => open(index + 1)));
  expect((await broken.promise).message).toMatch(/more than 68/);
  expect(opened).toHaveLength(68);
});

test("stream mux - a writer never exceeds its credit, and goes on with what it gets", async () => {
  const stream = await openOne();
  stream.end(Buffer.alloc(1_000_000, 7));
  let received = 0;
  let credit = WINDOW;
  for await (const one of frames()) {
    if (one.type === FRAME.end) break;
    if (one.stream === 0) continue;
    received += one.payload.length;
    credit -= one.payload.length;
    expect(credit).toBeGreaterThanOrEqual(0);
    expect(one.payload.length).toBeLessThanOrEqual(PIECE);
    if (credit > 0) continue;
    credit = 100_000;
    await send(control({ op: "credit", stream: 1, bytes: 100_000 }));
  }
  expect(received).toBe(1_000_000);
});

test("stream mux - streams take turns: a small one is not behind a large one", async () => {
  await send(open(1), open(2));
  while (opened.length < 2) await new Promise(setImmediate);
  opened[0]?.write(Buffer.alloc(WINDOW));
  opened[1]?.write("ping");
  let large = 0;
  for await (const one of frames()) {
    if (one.stream === 2) break;
    large += one.payload.length;
  }
  expect(large).toBeLessThanOrEqual(2 * PIECE);
});

test("stream mux - what a reader that stands still did not read in single bytes is there for it later", async () => {
  await openOne();
  const piece = frame(FRAME.data, 1, Buffer.from("x"));
  for (let sent = 0; sent < 80_000; sent += 8000) {
    await send(Buffer.concat(Array.from({ length: 8000 }, () => piece)));
    await new Promise(setImmediate);
  }
  expect(breaches).toBe(0);
  const stream = opened[0] as Duplex;
  await send(frame(FRAME.end, 1));
  let received = 0;
  for await (const chunk of stream) received += (chunk as Buffer).length;
  expect(received).toBe(80_000);
});

test("stream mux - credit goes back as a reader reads, so a stream carries any number of bytes", async () => {
  const stream = await openOne();
  let received = 0;
  stream.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  let credit = WINDOW;
  const granting = (async () => {
    for await (const one of frames()) credit += Number(readControl(one)["bytes"]);
  })();
  for (let sent = 0; sent < 8 * 1024 * 1024; sent += PIECE) {
    while (credit < PIECE) await new Promise(setImmediate);
    credit -= PIECE;
    await send(frame(FRAME.data, 1, Buffer.alloc(PIECE)));
  }
  while (received < 8 * 1024 * 1024) await new Promise(setImmediate);
  mux.destroy();
  await granting;
  expect(breaches).toBe(0);
});

test("stream mux - a closed stream is gone once both sides have closed, and its bytes are read first", async () => {
  const stream = await openOne();
  await send(frame(FRAME.data, 1, Buffer.from("last words")), closed);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString()).toBe("last words");
  stream.destroy();
  for await (const one of frames()) {
    expect(readControl(one)).toEqual({ op: "closed", stream: 1 });
    break;
  }
});

test("stream mux - bytes that cross a close are discarded, and the number stays until the other side closed", async () => {
  const stream = await openOne();
  peer.resume();
  stream.destroy();
  await once(stream, "close");
  await send(frame(FRAME.data, 1, Buffer.from("late")), control({ op: "closed", stream: 1 }), open(2));
  while (opened.length < 2) await new Promise(setImmediate);
  await send(frame(FRAME.data, 1, Buffer.from("x")));
  expect((await broken.promise).message).toMatch(/stream 1 is not open/);
});

test("stream mux - each direction ends by itself", async () => {
  const stream = await openOne();
  await send(frame(FRAME.end, 1));
  stream.resume();
  await once(stream, "end");
  stream.end("answer");
  const seen: Frame[] = [];
  for await (const one of frames()) {
    seen.push(one);
    if (one.type === FRAME.end) break;
  }
  expect(Buffer.concat(seen.map((one) => one.payload)).toString()).toBe("answer");
});

test("stream mux - the end of the stream below ends every stream", async () => {
  const stream = await openOne();
  stream.resume();
  peer.end();
  await once(stream, "close");
  expect(breaches).toBe(0);
});

test("stream mux - a flood of empty-handed controls is a breach before it keeps the host busy", async () => {
  peer.resume();
  const pair = (number: number): Buffer[] => [open(number), control({ op: "closed", stream: number })];
  const closing = setInterval(() => {
    for (const stream of opened) stream.destroy();
  }, 0);
  for (let number = 1; number < 15_000 && breaches === 0; number += 30) {
    await send(...Array.from({ length: 30 }, (_, index) => pair(number + index)).flat());
    for (const stream of opened.splice(0)) stream.destroy();
    await new Promise(setImmediate);
  }
  clearInterval(closing);
  expect((await broken.promise).message).toMatch(/too many frames|more than 68/);
});
