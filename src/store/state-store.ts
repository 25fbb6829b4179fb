import type { AgentRow, AgentState, AgentSummary, Publication, PublishPermissions } from "../model/agent.ts";
import type { AgentId } from "../model/ids.ts";
import type { BlockRow, OperatorRow, PrincipalType, TokenRow } from "../model/principal.ts";
import type { RecordedError } from "../model/record.ts";
import type { OutputItem, ResponseRow, ResponseStatus, Segment, TerminalStatus } from "../model/response.ts";

/**
 * What the service must not lose: agents, responses with their segments and records, tokens, operators. Each method is one transaction
 * and durable when it resolves. Two processes may use one database: what a write depends on is checked in the same statement.
 *
 * All methods throw `no_space` when the database's disk is full: nothing is changed then. They throw `state_failed` when it fails: nothing is half changed
 * then, but where only the answer was lost, the change is there.
 */
export interface StateStore extends AgentStore, ResponseStore, AccessStore, AsyncDisposable {
  readonly kind: "sqlite" | "postgres";
  /** Makes or migrates the tables. Throws `state_failed` for a database of a newer version. */
  start(): Promise<void>;
  /** Random, made with the tables: a copy of the database has it too, another database has another. */
  readId(): Promise<string>;
  /** A cheap question to the database; throws what it throws. */
  check(): Promise<void>;
  /**
   * Begins the reign of this process over the agents of a data folder: every claim of an earlier one is fenced from now on. Returns the
   * number of the reign.
   */
  beginReign(nodeId: string, url: string | null): Promise<number>;
  /** Where a data folder's server was last reached; undefined when unknown. */
  findNodeUrl(nodeId: string): Promise<string | undefined>;
  /**
   * Removes ended responses older than `maxAgeMs` and then the oldest until all together hold at most `maxBytes`; idempotency keys after
   * a day; tokens that expired or were revoked a week ago. Returns how many responses went.
   */
  prune(maxAgeMs: number, maxBytes: number): Promise<number>;
}

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

/** A request may be sent twice under one key. Keys are each principal's own and are forgotten after a day. */
export interface IdempotencyKey {
  readonly principal: string;
  readonly key: string;
  /** SHA-256 of what was asked, path included. */
  readonly hash: string;
}

export interface PublishedFile {
  /** Relative, `/` between segments. */
  readonly path: string;
  /** Key in the artifact store. */
  readonly artifactKey: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What an agent publishes from now on. */
export interface NewPublication {
  /** Null: nothing any more. */
  readonly published: Publication | null;
  readonly revision: string;
  readonly permissions: PublishPermissions;
  readonly files: readonly PublishedFile[];
}

export interface AgentStore {
  /**
   * A new agent, with its first response if it has one. With a key that was used for the same request, the agent made then. Throws `name_taken`,
   * `idempotency_conflict` (the key was used for another request, or what it made is gone), `quota_reached` (its creator has `maxOfPrincipal` agents, or their workspaces and this one more than `maxWorkspaceBytes`; several that
   * come at once to Postgres may exceed it by as many).
   */
  insertAgent(
    agent: Omit<AgentRow, "version">,
    options?: {
      readonly first?: NewResponse;
      readonly key?: IdempotencyKey;
      readonly maxOfPrincipal?: number;
      /** Of all of its creator's workspaces, as asked for. */
      readonly maxWorkspaceBytes?: number;
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
  /** Removes it with its responses, segments and published files; children lose their parent's name. Undefined when it was gone. */
  deleteAgent(id: AgentId): Promise<AgentRow | undefined>;
  /**
   * Takes the place of what was published before, with `expected` only if that is the agent's `publicationRevision`. `unused`: the artifact keys that nobody
   * needs any more. Undefined when it is another one or the agent is gone: nothing is changed then.
   */
  replacePublished(
    id: AgentId,
    publication: NewPublication,
    expected?: string | null,
  ): Promise<{ readonly agent: AgentRow; readonly unused: readonly string[] } | undefined>;
  findPublishedFile(agentName: string, path: string): Promise<PublishedFile | undefined>;
}

export type NewResponse = Pick<ResponseRow, "id" | "taskId" | "createdBy" | "input" | "options" | "createdAt">;

export interface ResponseQuery {
  readonly status?: ResponseStatus;
  /** By creation. */
  readonly order: "asc" | "desc";
  readonly limit: number;
  readonly offset: number;
}

/** A response with its history. `segments` are in order; the first has number 1. */
export interface ResponseWithSegments {
  readonly row: ResponseRow;
  readonly segments: readonly Segment[];
}

export interface ResponseEnd {
  readonly status: TerminalStatus;
  readonly error?: RecordedError;
  readonly outputContent?: readonly OutputItem[];
  /** Appended in the same transaction. */
  readonly segments?: readonly Segment[];
}

/** Proof of the present claim: writes under an older claim or reign are refused. */
export interface Fence {
  readonly nodeId: string;
  readonly reign: number;
  readonly attempt: number;
}

/** Of a response that may wait among thousands: all but what was posted. */
export type UnfinishedRow = Pick<ResponseRow, "id" | "agentId" | "status">;

export interface ResponseStore {
  /**
   * Queues work for an agent: the row exists when this resolves. An agent in `init` or `idle` becomes `busy` in the same transaction
   * (`busyFrom` is now, `idleFrom` null); `lastActivityAt` is now.
   * Throws `not_found` (the agent is gone), `agent_busy` (only with `refuseBusy`, when the agent is busy), `queue_full` (it has `maxQueued` or its creator
   * `maxOfPrincipal` pending ones), `idempotency_conflict`.
   */
  insertResponse(
    agentId: AgentId,
    response: NewResponse,
    options: {
      readonly refuseBusy: boolean;
      readonly maxQueued: number;
      readonly maxOfPrincipal: number;
      readonly key?: IdempotencyKey;
    },
  ): Promise<{ readonly row: ResponseRow; readonly agent: AgentRow; readonly isNew: boolean }>;
  /** A row about the agent itself, ended from the beginning: no work. */
  insertMarker(agentId: AgentId, id: string, segments: readonly Segment[]): Promise<ResponseRow | undefined>;
  getResponse(id: string): Promise<ResponseWithSegments | undefined>;
  /** The row alone, cheaply. */
  findResponse(id: string): Promise<ResponseRow | undefined>;
  /** Segments after number `after`, at most `limit` of them. */
  listSegments(id: string, after: number, limit?: number): Promise<readonly Segment[]>;
  listResponses(agentId: AgentId, query: ResponseQuery): Promise<readonly ResponseWithSegments[]>;
  countResponses(agentId: AgentId, status?: ResponseStatus): Promise<number>;
  /** The id of what `claimResponse` would claim. */
  findNext(agentId: AgentId): Promise<string | undefined>;
  /** How many wait and run on a data folder. */
  countWork(nodeId: string): Promise<{ readonly pending: number; readonly processing: number }>;

  /**
   * The oldest pending response of an agent becomes `processing` and the agent `busy`. Undefined when nothing waits; throws `fenced` when the reign is over.
   * `isRepeat`: the call before threw `state_failed`, and the caller runs nothing of the agent; what that call has claimed all the same is returned.
   */
  claimResponse(agentId: AgentId, nodeId: string, reign: number, isRepeat?: boolean): Promise<ResponseRow | undefined>;
  /**
   * `after`: how many segments the caller knows of. Whoever tries again after `state_failed` gives the same number; what the first attempt stored is
   * not stored twice. Returns the number of the last segment then. False when the claim is over (ended, requeued, claimed again, another reign): nothing
   * was written.
   */
  appendSegments(id: string, fence: Fence, after: number, segments: readonly Segment[]): Promise<number | false>;
  /** Ends a claimed response; true also when this very end is there already. False as above: somebody ended it before, and that stands. */
  finishResponse(id: string, fence: Fence, end: ResponseEnd): Promise<boolean>;
  /** Ends a response whoever has claimed it (cancel, a client's own PUT). Undefined when it has ended before. */
  endResponse(id: string, end: ResponseEnd): Promise<ResponseRow | undefined>;
  /** Back to `pending`, in its old place. False as above. */
  requeueResponse(id: string, fence: Fence): Promise<boolean>;
  /** What a client adds with PUT. `outputContent` undefined stays. Undefined when the response is gone; `too_large` above 16 MiB in all. */
  amendResponse(
    id: string,
    change: {
      readonly segments: readonly Segment[];
      readonly input?: unknown;
      readonly outputContent?: readonly OutputItem[];
    },
  ): Promise<ResponseRow | undefined>;
  /** Makes a busy agent idle (`idleFrom` and `lastActivityAt` are `now`) when nothing pending or processing is left of it. Returns the agent as it is then. */
  settleAgent(agentId: AgentId, now: number): Promise<AgentRow | undefined>;
  /** Every response that waits or is claimed on a data folder's agents, oldest first. */
  listUnfinished(nodeId: string): Promise<readonly UnfinishedRow[]>;
  /** The claimed responses of earlier reigns, as the proof to end or requeue them. */
  takeOverClaims(
    nodeId: string,
    reign: number,
  ): Promise<readonly { readonly row: ResponseRow; readonly fence: Fence }[]>;
}

export interface AccessStore {
  insertToken(token: TokenRow): Promise<void>;
  findToken(hash: string): Promise<TokenRow | undefined>;
  /** Living ones, newest first. */
  listTokens(principal?: string): Promise<readonly TokenRow[]>;
  /** False when there is no such living token. */
  revokeToken(id: string, now: number): Promise<boolean>;
  /** False when the operator exists. */
  insertOperator(operator: OperatorRow): Promise<boolean>;
  findOperator(name: string): Promise<OperatorRow | undefined>;
  /** Newest first. */
  listOperators(): Promise<readonly OperatorRow[]>;
  updateOperator(
    name: string,
    patch: Partial<Pick<OperatorRow, "passwordHash" | "description" | "active" | "lastLoginAt" | "updatedAt">>,
  ): Promise<OperatorRow | undefined>;
  /** Revokes its tokens with it: another operator of the same name inherits none. */
  deleteOperator(name: string): Promise<boolean>;
  /** False when it was blocked before. */
  block(principal: string, type: PrincipalType, now: number): Promise<boolean>;
  unblock(principal: string, type: PrincipalType): Promise<boolean>;
  isBlocked(principal: string, type: PrincipalType): Promise<boolean>;
  listBlocks(): Promise<readonly BlockRow[]>;
}
