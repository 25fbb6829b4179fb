import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";

interface StreamReply {
  readonly raw: FastifyReply["raw"];
  type(contentType: string): unknown;
  hasHeader(name: string): boolean;
}

/**
 * Answers with a stream that is already in the form of the route's schema, so it is not validated again. The return
 * value stands for the body that the route declares.
 */
export function sendStream(reply: StreamReply, stream: Readable): never {
  if (!reply.hasHeader("content-type")) reply.type("application/json; charset=utf-8");
  // Fastify sends what a handler returns; a stream goes out as it is.
  return stream as unknown as never;
}
