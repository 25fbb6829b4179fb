import type { Writable } from "node:stream";
import { awaitDrain } from "../../lib/stream.ts";
import type { ByteReader } from "./byte-reader.ts";
import { ChunkedDecoder, ChunkedError, encodeChunk, LAST_CHUNK } from "./chunked-body.ts";
import type { Framing } from "./http-framing.ts";
import { HeadScan } from "./http-head.ts";

/** A body that ended early or broke its framing. */
export class BodyError extends Error {}

/** The bytes of a head, from its first line to its empty line; null when the stream ends before its first byte. */
export async function readHead(
  reader: ByteReader,
  limitBytes: number,
  onFirstByte: () => void,
): Promise<Buffer | null> {
  const scan = new HeadScan(limitBytes);
  const parts: Buffer[] = [];
  while (true) {
    const chunk = await reader.next();
    if (!chunk && parts.length === 0) return null;
    if (!chunk) throw new BodyError("the stream ended inside the head");
    if (parts.length === 0) onFirstByte();
    const end = scan.push(chunk);
    if (typeof end === "string") throw new BodyError(end);
    parts.push(chunk.subarray(0, end));
    if (end === undefined) continue;
    reader.unshift(chunk.subarray(end));
    return Buffer.concat(parts);
  }
}

/** The body's data without its framing. Throws BodyError when it is not whole. */
export async function* readBody(reader: ByteReader, framing: Framing): AsyncGenerator<Buffer> {
  if (framing.kind === "length") yield* readLength(reader, framing.bytes);
  else if (framing.kind === "chunked") yield* readChunked(reader);
  else if (framing.kind === "close") yield* readToEnd(reader);
}

async function* readLength(reader: ByteReader, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  while (left > 0) {
    const chunk = await nextChunk(reader);
    const part = chunk.subarray(0, left);
    reader.unshift(chunk.subarray(part.length));
    left -= part.length;
    yield part;
  }
}

async function* readChunked(reader: ByteReader): AsyncGenerator<Buffer> {
  const decoder = new ChunkedDecoder();
  while (!decoder.isDone) {
    const { data, rest } = pushChecked(decoder, await nextChunk(reader));
    yield* data;
    reader.unshift(rest);
  }
}

function pushChecked(decoder: ChunkedDecoder, chunk: Buffer): ReturnType<ChunkedDecoder["push"]> {
  try {
    return decoder.push(chunk);
  } catch (thrown) {
    if (thrown instanceof ChunkedError) throw new BodyError(thrown.message);
    throw thrown;
  }
}

async function* readToEnd(reader: ByteReader): AsyncGenerator<Buffer> {
  for (let chunk = await reader.next(); chunk; chunk = await reader.next()) yield chunk;
}

async function nextChunk(reader: ByteReader): Promise<Buffer> {
  const chunk = await reader.next();
  if (!chunk) throw new BodyError("the stream ended inside the body");
  return chunk;
}

export const encodeData = (framing: Framing, data: Buffer): Buffer =>
  framing.kind === "chunked" ? encodeChunk(data) : data;

export const encodeEnd = (framing: Framing): Buffer | undefined =>
  framing.kind === "chunked" ? LAST_CHUNK : undefined;

/**
 * Head, body and last chunk that are at hand together leave together: apart, Nagle's algorithm delays the second by 40
 * ms.
 */
function joinWrites(stream: Writable): void {
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** Writes and waits until there is room again; false once the stream no longer takes bytes. */
export async function writeBytes(stream: Writable, bytes: Buffer | string): Promise<boolean> {
  if (stream.destroyed || stream.writableEnded) return false;
  joinWrites(stream);
  if (stream.write(bytes)) return true;
  await awaitDrain(stream);
  return !stream.destroyed;
}
