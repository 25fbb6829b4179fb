import type { AgentId } from "../../model/ids.ts";
import type { RecordedError } from "../../model/record.ts";
import type { OutputItem, ResponseRow, ResponseStatus, Segment, TerminalStatus } from "../../model/response.ts";

export type NewResponse = Pick<ResponseRow, "id" | "taskId" | "createdBy" | "input" | "options" | "createdAt">;

/** A request may be sent twice under one key. Keys are each principal's own and are forgotten after a day. */
export interface IdempotencyKey {
  readonly principal: string;
  readonly key: string;
  /** SHA-256 of what was asked, path included. */
  readonly hash: string;
}

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

/** Responses as they are. */
export interface ResponseReads {
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
  /** Every response that waits or is claimed on a data folder's agents, oldest first. */
  listUnfinished(nodeId: string): Promise<readonly UnfinishedRow[]>;
}

/** Writes to one response and its segments. */
export interface ResponseWrites {
  /** A row about the agent itself, ended from the beginning: no work. */
  insertMarker(agentId: AgentId, id: string, segments: readonly Segment[]): Promise<ResponseRow | undefined>;
  /**
   * `after`: how many segments the caller knows of. Whoever tries again after `state_failed` gives the same number;
   * what the first attempt stored is not stored twice. Returns the number of the last segment then. False when the
   * claim is over (ended, requeued, claimed again, another reign): nothing was written.
   */
  appendSegments(id: string, fence: Fence, after: number, segments: readonly Segment[]): Promise<number | false>;
  /**
   * Ends a claimed response; true also when this very end is there already. False as above: somebody ended it before,
   * and that stands.
   */
  finishResponse(id: string, fence: Fence, end: ResponseEnd): Promise<boolean>;
  /** Ends a response whoever has claimed it (cancel, a client's own PUT). Undefined when it has ended before. */
  endResponse(id: string, end: ResponseEnd): Promise<ResponseRow | undefined>;
  /** Back to `pending`, in its old place. False as above. */
  requeueResponse(id: string, fence: Fence): Promise<boolean>;
  /**
   * What a client adds with PUT; `maxBytes` as in `insertResponse`. `outputContent` undefined stays. Undefined when the
   * response is gone; `too_large` above 16 MiB in all.
   */
  amendResponse(
    id: string,
    change: {
      readonly segments: readonly Segment[];
      readonly input?: unknown;
      readonly outputContent?: readonly OutputItem[];
    },
    maxBytes?: number,
  ): Promise<ResponseRow | undefined>;
}
