import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { Server } from "./server-services.ts";

export const makeRequestId = (): string => `req_${randomUUID()}`;

/** One event per request, when its connection has the whole answer or is gone. */
export function recordRequests(server: Server, telemetry: Telemetry): void {
  const counted = new WeakMap<Socket, { read: number; written: number }>();
  server.decorateRequest("errorCode");
  server.addHook("onRequest", (request, reply, done) => {
    const [startedAt, begin] = [Date.now(), performance.now()];
    reply.header("x-request-id", request.id);
    const { socket } = request.raw;
    reply.raw.once("close", () => {
      const before = counted.get(socket) ?? { read: 0, written: 0 };
      const now = { read: socket.bytesRead, written: socket.bytesWritten };
      counted.set(socket, now);
      telemetry.record({
        ...describe(request, reply),
        startedAt,
        durationMs: performance.now() - begin,
        requestBytes: now.read - before.read,
        responseBytes: now.written - before.written,
      });
    });
    done();
  });
}

type Described =
  | "op"
  | "requestId"
  | "method"
  | "route"
  | "status"
  | "aborted"
  | "principal"
  | "traceparent"
  | "errorCode";
type RequestEvent = Extract<Parameters<Telemetry["record"]>[0], { readonly op: "http.request" }>;

function describe(request: FastifyRequest, reply: FastifyReply): Pick<RequestEvent, Described> {
  const { traceparent } = request.headers;
  const principal = (request.principal as FastifyRequest["principal"] | undefined)?.name;
  return {
    op: "http.request",
    requestId: request.id,
    method: request.method,
    route: request.routeOptions.url ?? "unmatched",
    status: reply.raw.statusCode,
    aborted: !reply.raw.writableFinished,
    ...(principal === undefined ? {} : { principal }),
    ...(typeof traceparent === "string" ? { traceparent } : {}),
    ...(request.errorCode === undefined ? {} : { errorCode: request.errorCode }),
  };
}
