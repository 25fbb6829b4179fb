import type { Writable } from "node:stream";

/** Resolves when the stream takes more, or will never again. */
export async function awaitDrain(stream: NodeJS.WritableStream & Pick<Writable, "destroyed">): Promise<void> {
  if (stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("drain", resolve).once("close", resolve);
  await promise;
  stream.off("drain", resolve).off("close", resolve);
}
