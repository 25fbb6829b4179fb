import fc from "fast-check";
import { expect, test } from "vitest";
import { ChunkedDecoder, ChunkedError, encodeChunk, LAST_CHUNK } from "../../src/network/http/chunked-body.ts";
import { splitAt } from "./harness.ts";

function decode(parts: readonly Buffer[]): { data: Buffer; rest: Buffer; isDone: boolean } {
  const decoder = new ChunkedDecoder();
  const data: Buffer[] = [];
  let rest = Buffer.alloc(0);
  for (const part of parts) {
    const taken = decoder.isDone ? { data: [], rest: part } : decoder.push(part);
    data.push(...taken.data);
    rest = Buffer.concat([rest, taken.rest]);
  }
  return { data: Buffer.concat(data), rest, isDone: decoder.isDone };
}

test("chunks, extensions and trailers are taken apart and what follows is given back", () => {
  const body = "5;name=value\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nGET next";
  const { data, rest, isDone } = decode([Buffer.from(body)]);
  expect([data.toString(), rest.toString(), isDone]).toEqual(["hello!", "GET next", true]);
});

test.each([
  ["a size that is no number", "g\r\n"],
  ["a signed size", "+5\r\n"],
  ["a huge size", "fffffffffffff\r\n"],
  ["no size", "\r\n"],
  ["a bare LF", "5\nhello\r\n"],
  ["data longer than its size", "1\r\nab\r\n"],
  ["a control character in an extension", "1;\x01\r\n"],
  ["an endless size line", `1;${"a".repeat(300)}`],
  ["an endless trailer", `0\r\n${"a: b\r\n".repeat(3000)}`],
])("a chunked body with %s is refused", (_, text) => {
  expect(() => decode([Buffer.from(text)])).toThrow(ChunkedError);
});

test("what is encoded comes back however it is cut", () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((data) => Buffer.from(data));
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 8 }), fc.array(fc.nat(2500), { maxLength: 20 }), (chunks, cuts) => {
      const encoded = Buffer.concat([...chunks.map(encodeChunk), LAST_CHUNK, Buffer.from("rest")]);
      const decoded = decode(splitAt(encoded, cuts));
      expect(decoded.data.equals(Buffer.concat(chunks))).toBe(true);
      expect([decoded.rest.toString(), decoded.isDone]).toEqual(["rest", true]);
    }),
  );
});

test("random bytes are data or a refusal", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
      try {
        decode([Buffer.from(data)]);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(ChunkedError);
      }
    }),
    { numRuns: 5000 },
  );
});
