import type { FastifyReply, FastifyRequest } from "fastify";
import { PaddockError } from "../../errors/error.ts";
import { sendError } from "./errors.ts";
import { RouteTable } from "./route-table.ts";
import type { Server } from "./server-services.ts";

/** Registers before all routes. Unknown paths are answered before their body is read. */
export function answerUnknownPaths(server: Server): RouteTable {
  const table = new RouteTable();
  server.addHook("onRoute", ({ method, url, config }) => {
    table.add(typeof method === "string" ? [method] : method, url, config?.access ?? "");
  });
  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const methods = table.findMethods(request.url.split("?", 1)[0] ?? "");
    const isWrongMethod = methods.length > 0;
    request.errorCode = isWrongMethod ? "invalid_request" : "not_found";
    const status = isWrongMethod ? 405 : 404;
    if (isWrongMethod) reply.header("allow", methods.join(", "));
    const message = isWrongMethod ? "Method not allowed" : "Not found";
    const error = new PaddockError(request.errorCode as "not_found", message);
    return await sendError(request, reply, error, status, "route");
  };
  server.setNotFoundHandler(answer);
  server.addHook("onRequest", async (request, reply) => {
    if (request.is404) await answer(request, reply);
  });
  return table;
}
