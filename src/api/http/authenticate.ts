import type { FastifyRequest } from "fastify";
import { PaddockError } from "../../errors/error.ts";
import { coversScope, type Principal, SCOPES, type Scope } from "../../model/principal.ts";
import type { Connections } from "./clients/connections.ts";
import type { Admission } from "./request-limits.ts";
import type { Server, ServerParts } from "./server-services.ts";

/**
 * Every route says who may call it, or the server does not start. Whoever calls is known before a byte of the body is
 * read; the answer for a path that no route has is the same with and without a token.
 */
export function authenticateRequests(
  server: Server,
  parts: Pick<ServerParts, "access">,
  admission: Admission,
  connections: Connections,
): void {
  server.decorateRequest("principal");
  server.addHook("onRoute", ({ url, config }) => {
    const access: string | undefined = config?.access;
    if (access !== "public" && !SCOPES.some((scope) => scope === access))
      throw new Error(`the route ${url} does not say who may call it`);
  });
  server.addHook("onRequest", async (request, reply) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access === "public") {
      admission.admitAddress(request);
      return;
    }
    request.principal = await identify(request, parts, admission);
    connections.know(request.raw.socket);
    admission.admitPrincipal(request.principal, reply);
    authorize(request, access);
  });
}

async function identify(
  request: FastifyRequest,
  { access }: Pick<ServerParts, "access">,
  admission: Admission,
): Promise<Principal> {
  try {
    return await access.authenticate(readAuthorization(request));
  } catch (error) {
    if (error instanceof PaddockError && (error.code === "unauthorized" || error.code === "forbidden"))
      admission.admitAddress(request);
    throw error;
  }
}

/** Two headers may be read as one or the other by whoever stands before us: neither counts. */
export function readAuthorization(request: FastifyRequest): string | undefined {
  const sent = request.raw.headersDistinct["authorization"];
  return sent?.length === 1 ? sent[0] : undefined;
}

function authorize(request: FastifyRequest, needed: Scope): void {
  const { principal, routeOptions, server } = request;
  const { denied, checksAgents } = routeOptions.config;
  if (!coversScope(principal.scope, needed)) throw new PaddockError("forbidden", denied ?? "Insufficient permissions");
  if (principal.agents === undefined || checksAgents) return;
  const name = server.findGroup(routeOptions.url ?? request.url).findAgent(request);
  if (name === undefined) throw new PaddockError("forbidden", "Insufficient permissions");
  if (!principal.agents.includes(name.toLowerCase()))
    throw new PaddockError("forbidden", "Access denied to this agent");
}
