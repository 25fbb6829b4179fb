import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";

export const ACCESS_DENIED = "Access denied to this agent";

type Owned = Pick<AgentRow, "name" | "createdBy" | "published">;

/** A token may be limited to some agents, whoever owns them. */
export const mayName = ({ agents }: Principal, name: string): boolean =>
  agents === undefined || agents.includes(name.toLowerCase());

export const isAdmin = (principal: Principal): boolean => principal.scope === "admin";

/** The one who made the agent, and administrators. */
export const isOwner = (agent: Owned, principal: Principal): boolean =>
  mayName(principal, agent.name) && (isAdmin(principal) || agent.createdBy === principal.name);

export const canSee = (agent: Owned, principal: Principal): boolean =>
  isOwner(agent, principal) || (agent.published !== null && mayName(principal, agent.name));

export function assertVisible(agent: Owned, principal: Principal): void {
  if (!canSee(agent, principal)) throw new PaddockError("forbidden", ACCESS_DENIED);
}

/** `sentence` is what somebody reads who may see the agent and is not its owner. */
export function assertOwner(agent: Owned, principal: Principal, sentence: string = ACCESS_DENIED): void {
  assertVisible(agent, principal);
  if (!isOwner(agent, principal)) throw new PaddockError("forbidden", sentence);
}
