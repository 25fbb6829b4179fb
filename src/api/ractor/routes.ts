import type { Server, ServerParts } from "../http/server-services.ts";
import { registerAgentStates } from "./agents/agent-states.ts";
import { registerAgents } from "./agents/agents.ts";
import { registerContext } from "./agents/context.ts";
import { registerSharing } from "./agents/publication-routes.ts";
import { PublishedList } from "./agents/published-list.ts";
import { registerFileReads } from "./files/file-reads.ts";
import { FileSlots } from "./files/file-slots.ts";
import { registerFileWrites } from "./files/file-writes.ts";
import { registerEvents } from "./responses/events.ts";
import { registerResponseReads } from "./responses/response-reads.ts";
import { registerResponses } from "./responses/responses.ts";

/**
 * Agents, responses, files and context of the contract, with their whole paths; docs/ractor.md lists what differs and
 * what is added.
 */
export function registerRactor(server: Server, parts: ServerParts): void {
  const published = new PublishedList(parts.store);
  // Before the routes: whoever changes something sees it in the list at once.
  server.addHook("onSend", async ({ method, principal }) => {
    if (method !== "GET" && principal !== undefined) published.forget();
  });
  registerAgents(server, parts);
  registerAgentStates(server, parts);
  registerSharing(server, parts, published);
  registerResponses(server, parts);
  registerResponseReads(server, parts);
  registerEvents(server, parts);
  const fileParts = { ...parts, fileSlots: new FileSlots() };
  registerFileReads(server, fileParts);
  registerFileWrites(server, fileParts);
  registerContext(server, parts);
}
