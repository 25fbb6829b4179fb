import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";

interface StreamReply {
  readonly raw: FastifyReply["raw"];
  type(contentType: string): unknown;
  hasHeader(name: string): boolean;
}

/**
 * Answers with a stream that is already in the form of the route's schema, so it is not validated again. The return value stands for
 * the body that the route declares.
 */
export function sendStream(reply: StreamReply, stream: Readable): never {
  if (!reply.hasHeader("content-type")) reply.type("application/json; charset=utf-8");
  // Fastify sends what a handler returns; a stream goes out as it is.
  return stream as unknown as never;
}

/** Resolves when the stream takes more, or will never again. */
export function awaitRoom(stream: NodeJS.WritableStream & { readonly destroyed: boolean }): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = (): void => {
    stream.off("drain", done);
    stream.off("close", done);
    resolve();
  };
  stream.on("drain", done);
  stream.on("close", done);
  if (stream.destroyed) done();
  return promise;
}
