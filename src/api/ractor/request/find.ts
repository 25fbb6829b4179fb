import { PaddockError } from "../../../errors/error.ts";
import { noAgent, noResponse } from "../../../errors/not-found.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import type { ResponseRow } from "../../../model/response.ts";
import type { ServerParts } from "../../http/server-services.ts";
import { assertOwner, assertVisible } from "./access-rules.ts";

export interface AgentAsked {
  readonly principal: Principal;
  readonly params: { readonly name: string };
}

const AGENT_NAME = /^[A-Za-z][A-Za-z0-9-]{0,63}$/;
const RESPONSE_ID = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

export async function findAgent({ store }: ServerParts, name: string): Promise<AgentRow> {
  const agent = AGENT_NAME.test(name) ? await store.findAgent(name) : undefined;
  if (agent === undefined) throw noAgent();
  return agent;
}

/** The agent of the path, for somebody who may look at it. */
export async function findVisible(parts: ServerParts, { params, principal }: AgentAsked): Promise<AgentRow> {
  const agent = await findAgent(parts, params.name);
  assertVisible(agent, principal);
  return agent;
}

/** The agent of the path, for its owner, on the server that runs it. */
export async function findOwned(
  parts: ServerParts,
  { params, principal }: AgentAsked,
  sentence?: string,
): Promise<AgentRow> {
  const agent = await findAgent(parts, params.name);
  assertOwner(agent, principal, sentence);
  await assertHere(parts, agent);
  return agent;
}

/**
 * What changes an agent, or needs its sandbox, is done by the server that runs it. Throws `wrong_node` with that
 * server's URL.
 */
export async function assertHere({ store, nodeId }: ServerParts, agent: AgentRow): Promise<void> {
  if (agent.nodeId === nodeId) return;
  const url = await store.findNodeUrl(agent.nodeId);
  throw new PaddockError("wrong_node", `Agent ${agent.name} lives on ${url ?? "another server of this installation"}`);
}

/** A response of this agent; one of another agent is not found. */
export async function findResponse({ store }: ServerParts, agent: AgentRow, id: string): Promise<ResponseRow> {
  const row = RESPONSE_ID.test(id) ? await store.findResponse(id.toLowerCase()) : undefined;
  if (row === undefined || row.agentId !== agent.id) throw noResponse();
  return row;
}

/** A response by its id alone, for somebody who may look at its agent. */
export async function findResponseOfAny(parts: ServerParts, id: string, principal: Principal): Promise<ResponseRow> {
  const row = RESPONSE_ID.test(id) ? await parts.store.findResponse(id.toLowerCase()) : undefined;
  const agent = row === undefined ? undefined : await parts.store.getAgent(row.agentId);
  if (row === undefined || agent === undefined) throw noResponse();
  assertVisible(agent, principal);
  return row;
}
