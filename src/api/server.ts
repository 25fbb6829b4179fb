import { registerAuth } from "./auth.ts";
import { registerBlocklist } from "./blocklist.ts";
import { registerContent } from "./content.ts";
import { registerDocs } from "./docs.ts";
import { makeServer, type ServerTimes } from "./make-server.ts";
import { registerOperations } from "./operations.ts";
import { registerOperators } from "./operators.ts";
import { registerRactor } from "./ractor/routes.ts";
import type { Server, ServerParts } from "./server-parts.ts";

/** Every route of the service, ready to listen. */
export async function buildServer(parts: ServerParts, times?: ServerTimes): Promise<Server> {
  const server = makeServer(parts, times);
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
  const server = makeServer(parts, undefined, true);
  registerContent(server, parts, "own");
  await server.ready();
  return server;
}
