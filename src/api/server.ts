import { makeServer, type ServerTimes } from "./http/make-server.ts";
import type { RouteGroups, Server, ServerParts } from "./http/server-services.ts";
import { registerAuth } from "./operations/auth.ts";
import { registerBlocklist } from "./operations/blocklist.ts";
import { registerContent } from "./operations/content.ts";
import { registerDocs } from "./operations/docs.ts";
import { registerOperations } from "./operations/operations.ts";
import { registerOperators } from "./operations/operators.ts";
import { OPERATIONS_GROUP } from "./operations/route-group.ts";
import { RACTOR_GROUP } from "./ractor/route-group.ts";
import { registerRactor } from "./ractor/routes.ts";

const GROUPS: RouteGroups = { below: { "/api/v0": RACTOR_GROUP }, others: OPERATIONS_GROUP };

/** Every route of the service, ready to listen. */
export async function buildServer(parts: ServerParts, times?: Partial<ServerTimes>): Promise<Server> {
  const server = makeServer(parts, GROUPS, times);
  await registerDocs(server, parts);
  registerOperations(server, parts);
  registerAuth(server, parts);
  registerOperators(server, parts);
  registerBlocklist(server, parts);
  registerRactor(server, parts);
  if (parts.config.contentPort === undefined) registerContent(server, parts, "shared");
  await server.ready();
  return server;
}

/** Published content alone, for a port of its own. */
export async function buildContentServer(parts: ServerParts): Promise<Server> {
  const server = makeServer(parts, GROUPS, undefined, true);
  registerContent(server, parts, "own");
  await server.ready();
  return server;
}
