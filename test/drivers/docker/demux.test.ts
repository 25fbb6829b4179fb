import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { setImmediate as tick } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ContainerStdio, FrameCutter } from "../../../src/drivers/docker/engine/demux.ts";

function frame(stream: number, payload: Buffer | string): Buffer {
  const body = Buffer.from(payload);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

function cut(chunks: readonly Buffer[]): { out: string; err: string } {
  const pieces: Record<1 | 2, Buffer[]> = { 1: [], 2: [] };
  const cutter = new FrameCutter((stream, piece) => pieces[stream].push(Buffer.from(piece)));
  for (const chunk of chunks) cutter.push(chunk);
  return { out: Buffer.concat(pieces[1]).toString(), err: Buffer.concat(pieces[2]).toString() };
}

describe("frames of an attached stream", () => {
  test("100,000 one-byte frames in one chunk", () => {
    const all = Buffer.concat(Array.from({ length: 100_000 }, (_, index) => frame(index % 2 === 0 ? 1 : 2, "x")));
    const { out, err } = cut([all]);
    expect([out.length, err.length]).toEqual([50_000, 50_000]);
  });

  test("cut anywhere, down to single bytes, they give the same", () => {
    const pieces = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.string({ maxLength: 40 })), { maxLength: 20 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 30 }), (frames, size) => {
        const all = Buffer.concat(frames.map(([stream, text]) => frame(stream, text)));
        const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
          all.subarray(index * size, (index + 1) * size),
        );
        const expected = (wanted: number): string =>
          frames
            .filter(([stream]) => stream === wanted)
            .map(([, text]) => text)
            .join("");
        expect(cut(chunks)).toEqual({ out: expected(1), err: expected(2) });
      }),
    );
  });

  test.each([
    ["an unknown stream", Buffer.from([3, 0, 0, 0, 0, 0, 0, 1, 65])],
    ["standard input", Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 65])],
    ["bytes where zeroes belong", Buffer.from([1, 1, 0, 0, 0, 0, 0, 1, 65])],
    ["a length no engine sends", Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])],
    ["plain text", Buffer.from("hello, world")],
  ])("%s is refused with a code", (_, bytes) => {
    expect(() => cut([bytes])).toThrow(expect.objectContaining({ code: "protocol_error" }));
  });
});

/** The engine's end of an attached stream. */
function makeAttached(): { attached: Duplex; engine: PassThrough; input: PassThrough } {
  const engine = new PassThrough({ highWaterMark: 65_536 });
  const input = new PassThrough();
  return { attached: Duplex.from({ readable: engine, writable: input }), engine, input };
}

describe("standard streams of a container", () => {
  test("a reader that stops makes the engine wait, and memory stays flat", async () => {
    const { attached, engine } = makeAttached();
    const stdio = new ContainerStdio(attached);
    const block = frame(1, Buffer.alloc(65_536));
    stdio.read(0);
    let accepted = 0;
    while (accepted < 1000 && engine.write(block)) {
      accepted += 1;
      await tick();
    }
    expect(accepted).toBeLessThan(20);
    stdio.resume();
    await once(engine, "drain");
    stdio.destroy();
  });

  test("input goes through as it is, its end too; standard error is kept apart and bounded", async () => {
    const { attached, engine, input } = makeAttached();
    const stdio = new ContainerStdio(attached);
    stdio.end("key\n");
    expect((await input.toArray()).join("")).toBe("key\n");
    stdio.discardOutput();
    engine.write(frame(2, "why it ended\n"));
    for (let index = 0; index < 100; index += 1) engine.write(frame(2, "y".repeat(10_000)));
    engine.end(frame(1, "output"));
    await once(stdio, "end");
    expect(stdio.diagnosis).toMatch(/^why it ended\n/);
    expect(stdio.diagnosis.length).toBeLessThan(20_000);
  });

  test("broken framing destroys the stream with a code", async () => {
    const { attached, engine } = makeAttached();
    const stdio = new ContainerStdio(attached);
    stdio.resume();
    engine.write("this is no frame");
    const [error] = (await once(stdio, "error").catch((thrown: unknown) => [thrown])) as [unknown];
    expect(error).toMatchObject({ code: "protocol_error" });
    expect(attached.destroyed).toBe(true);
  });
});
