import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteQueue } from "../../src/sandbox/channel/byte-queue.ts";

test("byte queue - gives back what it got, in order, however it is cut on the way in and out", () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 10_000, max: 80_000 })), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(sizes, sizes, (ins, outs) => {
      const queue = new ByteQueue();
      const sent: Buffer[] = [];
      const taken: Buffer[] = [];
      let next = 0;
      for (const [index, size] of ins.entries()) {
        const chunk = Buffer.from(Array.from({ length: size }, () => next++ & 0xff));
        sent.push(chunk);
        queue.push(chunk);
        const out = outs[index] ?? 0;
        taken.push(out % 2 === 0 ? queue.take(Math.min(out, queue.length)) : queue.takePiece(out));
      }
      taken.push(queue.take(queue.length));
      expect(queue.length).toBe(0);
      expect(Buffer.concat(taken).equals(Buffer.concat(sent))).toBe(true);
    }),
  );
});

test("byte queue - single bytes do not keep the chunks alive that they were cut from", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const queue = new ByteQueue();
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const held = (): number => process.memoryUsage().arrayBuffers - before;
  for (let index = 0; index < 20_000; index++) queue.push(Buffer.allocUnsafeSlow(4096).subarray(0, 1));
  // what is collected is freed a little later
  for (let round = 0; round < 50 && held() > 4 * 1024 * 1024; round++) {
    collect();
    await new Promise(setImmediate);
  }
  expect(held()).toBeLessThan(4 * 1024 * 1024);
  expect(queue.take(queue.length)).toHaveLength(20_000);
});
