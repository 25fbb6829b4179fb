import type { FastifyReply, FastifyRequest } from "fastify";
import { PaddockError } from "../../errors/error.ts";
import { sendError } from "./errors.ts";
import type { Server } from "./server-services.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;
/** Time to take the last answer before the connection is cut. */
const LAST_WORDS_MS = 2000;

/** A request ends in time, whatever its client sends or reads and whatever its handler waits for. */
export function limitRequestTime(server: Server, defaultMs: number): void {
  server.addHook("onRequest", (request, reply, done) => {
    const { requestMs = defaultMs } = request.routeOptions.config ?? {};
    if (Number.isFinite(requestMs)) startTimer(request, reply, Math.min(Math.max(1, requestMs), MAX_TIMER_MS));
    done();
  });
}

function startTimer(request: FastifyRequest, reply: FastifyReply, timeMs: number): void {
  let timer = setTimeout(() => {
    timer = setTimeout(() => reply.raw.destroy(), LAST_WORDS_MS);
    if (reply.sent || reply.raw.headersSent) reply.raw.destroy();
    else void answerLate(request, reply);
  }, timeMs);
  reply.raw.once("close", () => clearTimeout(timer));
}

async function answerLate(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const isSlowClient = !request.raw.complete;
  const message = isSlowClient ? "The request did not arrive in time" : "The request took too long";
  request.errorCode = "timeout";
  reply.header("connection", "close");
  await sendError(request, reply, new PaddockError("timeout", message), isSlowClient ? 408 : 504);
}
