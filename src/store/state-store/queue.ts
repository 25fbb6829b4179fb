import type { AgentRow } from "../../model/agent.ts";
import type { AgentId } from "../../model/ids.ts";
import type { ResponseRow } from "../../model/response.ts";
import type { IdempotencyKey, NewResponse } from "./responses.ts";

/** How responses enter an agent's queue and leave it for work. */
export interface ResponseQueue {
  /**
   * Queues work for an agent: the row exists when this resolves. An agent in `init` or `idle` becomes `busy` in the
   * same transaction (`busyFrom` is now, `idleFrom` null); `lastActivityAt` is now. Throws `not_found` (the agent is
   * gone), `agent_busy` (only with `refuseBusy`, when the agent is busy), `queue_full` (it has `maxQueued` or its
   * creator `maxOfPrincipal` pending ones), `idempotency_conflict`.
   */
  insertResponse(
    agentId: AgentId,
    response: NewResponse,
    options: {
      readonly refuseBusy: boolean;
      readonly maxQueued: number;
      readonly maxOfPrincipal: number;
      /** Its creator's responses and keys may take so much: the oldest ended go for this one, else `quota_reached`. */
      readonly maxBytes?: number;
      readonly key?: IdempotencyKey;
    },
  ): Promise<{ readonly row: ResponseRow; readonly agent: AgentRow; readonly isNew: boolean }>;
  /**
   * The oldest pending response of an agent becomes `processing` and the agent `busy`. Undefined when nothing waits;
   * throws `fenced` when the reign is over. `isRepeat`: the call before threw `state_failed`, and the caller runs
   * nothing of the agent; what that call has claimed all the same is returned.
   */
  claimResponse(agentId: AgentId, nodeId: string, reign: number, isRepeat?: boolean): Promise<ResponseRow | undefined>;
  /**
   * Makes a busy agent idle (`idleFrom` and `lastActivityAt` are `now`) when nothing pending or processing is left of
   * it. Returns the agent as it is then.
   */
  settleAgent(agentId: AgentId, now: number): Promise<AgentRow | undefined>;
}
