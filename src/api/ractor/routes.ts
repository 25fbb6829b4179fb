import type { Server, ServerParts } from "../server-parts.ts";
import { registerAgentStates } from "./agent-states.ts";
import { registerAgents } from "./agents.ts";
import { registerContext } from "./context.ts";
import { registerEvents } from "./events.ts";
import { registerFileReads } from "./file-reads.ts";
import { registerFileWrites } from "./file-writes.ts";
import { registerResponseReads } from "./response-reads.ts";
import { registerResponses } from "./responses.ts";
import { registerSharing } from "./sharing.ts";

/** Agents, responses, files and context of the contract, with their whole paths; docs/ractor.md lists what differs and what is added. */
export function registerRactor(server: Server, parts: ServerParts): void {
  registerAgents(server, parts);
  registerAgentStates(server, parts);
  registerSharing(server, parts);
  registerResponses(server, parts);
  registerResponseReads(server, parts);
  registerEvents(server, parts);
  registerFileReads(server, parts);
  registerFileWrites(server, parts);
  registerContext(server, parts);
}
