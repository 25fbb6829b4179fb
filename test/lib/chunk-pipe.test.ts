import { expect, test } from "vitest";
import { ChunkPipe } from "../../src/lib/chunk-pipe.ts";

const ONE = Buffer.from("one");
const TWO = Buffer.from("two");

test("chunk pipe - chunks arrive in order, and the next is taken only when the reader asks", async () => {
  const pipe = new ChunkPipe();
  const pushed: string[] = [];
  const writing = (async () => {
    for (const chunk of [ONE, TWO]) {
      await pipe.push(chunk);
      pushed.push(chunk.toString());
    }
    pipe.end();
  })();
  const reader = pipe[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe(ONE);
  expect(pushed).toEqual([]);
  expect((await reader.next()).value).toBe(TWO);
  expect(pushed).toEqual(["one"]);
  expect((await reader.next()).done).toBe(true);
  await writing;
  expect(pushed).toEqual(["one", "two"]);
});

test("chunk pipe - a source that fails fails the reader's loop, also before it began", async () => {
  const pipe = new ChunkPipe();
  pipe.fail(new Error("broke"));
  await expect(Array.fromAsync(pipe)).rejects.toThrow("broke");
});

test("chunk pipe - a reader that leaves holds up nobody", async () => {
  const pipe = new ChunkPipe();
  const first = pipe.push(ONE);
  for await (const chunk of pipe) {
    expect(chunk).toBe(ONE);
    break;
  }
  await first;
  await pipe.push(TWO);
  pipe.end();
});
