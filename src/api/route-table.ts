import type { FastifyReply, FastifyRequest } from "fastify";
import { PaddockError } from "../errors/error.ts";
import { isContractPath, sendError } from "./errors.ts";
import type { Server } from "./server-parts.ts";

export interface RouteEntry {
  readonly method: string;
  /** Fastify's pattern: `:name` for a segment, `*` for the rest. */
  readonly url: string;
  readonly access: string;
}

/** Every route of a server, to tell a wrong method from an unknown path, and for tests that must not miss one. */
export class RouteTable {
  readonly routes: RouteEntry[] = [];
  readonly #patterns = new Map<string, { readonly regex: RegExp; readonly methods: Set<string> }>();

  add(methods: readonly string[], url: string, access: string): void {
    const pattern = this.#patterns.get(url) ?? { regex: compile(url), methods: new Set<string>() };
    this.#patterns.set(url, pattern);
    for (const method of methods) {
      pattern.methods.add(method);
      this.routes.push({ method, url, access });
    }
  }

  /** What a path may be asked with; empty when no route has it. */
  findMethods(path: string): string[] {
    const found = new Set<string>();
    for (const { regex, methods } of this.#patterns.values())
      if (regex.test(path)) for (const method of methods) found.add(method);
    return [...found].sort();
  }
}

const compile = (url: string): RegExp =>
  new RegExp(
    `^${url
      .replace(/[.+?^$()[\]{}|\\]/g, "\\$&")
      .replace(/:\w+/g, "[^/]+")
      .replace(/\*/g, ".*")}$`,
  );

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
    if (isContractPath(request.url)) return await reply.code(status).send();
    const message = isWrongMethod ? "Method not allowed" : "Not found";
    return await sendError(request, reply, new PaddockError(request.errorCode as "not_found", message), status);
  };
  server.setNotFoundHandler(answer);
  server.addHook("onRequest", async (request, reply) => {
    if (request.is404) await answer(request, reply);
  });
  return table;
}
