import { PassThrough, type Readable } from "node:stream";
import { PaddockError } from "../../../errors/error.ts";
import { awaitDrain } from "../../../lib/stream.ts";
import { MIB } from "../../../model/units.ts";
import type { SandboxFiles } from "../../../sandbox/files.ts";

export const MAX_READ_BYTES = 25 * MIB;
export const MAX_WRITE_BYTES = 100 * MIB;
/** A reader that is slower than this holds one of the sandbox's connections for too long, */
const READ_MS = 120_000;
/** and so does one that takes nothing at all in this time. */
const STALL_MS = 10_000;

/**
 * A file's first `size` bytes, read no faster than they are taken. The stream breaks when the file has become shorter,
 * so that nobody takes a part for the whole. The slot is given back when nothing of the call is left.
 */
export function streamFile(files: SandboxFiles, path: string, size: number, slot: Disposable): Readable {
  const out = new PassThrough();
  // Fastify listens, too, but only from the moment that it sends.
  out.on("error", () => undefined);
  const giveUp = (): void => void out.destroy(new PaddockError("timeout", "the file was read too slowly"));
  const timer = setTimeout(giveUp, READ_MS).unref();
  out.once("close", () => clearTimeout(timer));
  const sink = async (chunk: Buffer): Promise<void> => {
    // A call cannot be broken off without its connection: what nobody wants any more is dropped.
    if (out.destroyed || out.write(chunk)) return;
    const stalled = setTimeout(giveUp, STALL_MS).unref();
    await awaitDrain(out);
    clearTimeout(stalled);
  };
  const finish = (bytes: number): void => {
    if (bytes === size) out.end();
    else out.destroy(new PaddockError("file_error", "the file changed while it was read"));
  };
  const read = size === 0 ? Promise.resolve({ bytes: 0 }) : files.readTo(path, sink, { length: size });
  read
    .then(
      ({ bytes }) => finish(bytes),
      (error: Error) => void out.destroy(error),
    )
    .finally(() => slot[Symbol.dispose]());
  return out;
}

/** Passes a body on and throws `too_large` as soon as it has more than 100 MiB. */
export async function* limitBody(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_WRITE_BYTES) throw tooLarge();
    yield chunk;
  }
}

export const tooLarge = (): PaddockError => new PaddockError("too_large", "file too large (more than 100MB)");
