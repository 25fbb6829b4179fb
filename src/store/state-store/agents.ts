import type { AgentRow, AgentState, AgentSummary } from "../../model/agent.ts";
import type { AgentId } from "../../model/ids.ts";
import type { IdempotencyKey, NewResponse } from "./responses.ts";

export interface AgentQuery {
  /** Only agents of this principal. */
  readonly createdBy?: string;
  readonly publishedOnly?: boolean;
  /** Part of name or description, without regard to case. */
  readonly text?: string;
  /** All of them, lower case. */
  readonly tags?: readonly string[];
  readonly state?: string;
  readonly limit: number;
  readonly offset: number;
}

/** What may be changed of an agent; absent fields stay. */
export type AgentPatch = Partial<
  Pick<
    AgentRow,
    | "state"
    | "description"
    | "metadata"
    | "tags"
    | "lastActivityAt"
    | "idleTimeoutSeconds"
    | "busyTimeoutSeconds"
    | "idleFrom"
    | "busyFrom"
    | "contextCutoffAt"
    | "lastContextLength"
    | "wokeAt"
    | "runtimeMs"
    | "setupReport"
    | "missingCopy"
  >
>;

/** Agents, by name and by data folder. */
export interface AgentStore {
  /**
   * A new agent, with its first response if it has one. With a key that was used for the same request, the agent made
   * then. Throws `name_taken`, `idempotency_conflict` (the key was used for another request, or what it made is gone),
   * `rate_limited` (`maxCopiesOfParent`), `quota_reached` (its creator has `maxOfPrincipal` agents, or their workspaces
   * and this one more than `maxWorkspaceBytes`; several that come at once to Postgres may exceed it by as many).
   */
  insertAgent(
    agent: Omit<AgentRow, "version">,
    options?: {
      readonly first?: NewResponse;
      readonly key?: IdempotencyKey;
      readonly maxOfPrincipal?: number;
      /** Of all of its creator's workspaces, as asked for. */
      readonly maxWorkspaceBytes?: number;
      /** Of its parent's copies that are still to be made for others. */
      readonly maxCopiesOfParent?: number;
    },
  ): Promise<{ readonly agent: AgentRow; readonly isNew: boolean }>;
  /** Without regard to case. */
  findAgent(name: string): Promise<AgentRow | undefined>;
  getAgent(id: AgentId): Promise<AgentRow | undefined>;
  /** Newest first; published ones by time of publication when `publishedOnly`. */
  listAgents(query: AgentQuery): Promise<{ readonly items: readonly AgentSummary[]; readonly total: number }>;
  /** Every agent of a data folder. */
  listAgentsOf(nodeId: string): Promise<readonly AgentSummary[]>;
  /** How many agents of a data folder there are in each state that one has. */
  countAgents(nodeId: string): Promise<Readonly<Partial<Record<AgentState, number>>>>;
  /** Undefined when the agent is gone or in none of `states`; nothing is changed then. */
  updateAgent(
    id: AgentId,
    patch: AgentPatch,
    condition?: { readonly states?: readonly AgentState[] },
  ): Promise<AgentRow | undefined>;
  /**
   * Removes it with its responses, segments and published files; children lose their parent's name. Undefined when it
   * was gone.
   */
  deleteAgent(id: AgentId): Promise<AgentRow | undefined>;
}
