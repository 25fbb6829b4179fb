import { randomUUID } from "node:crypto";
import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import { type AgentRow, SOFT_LIMIT_TOKENS } from "../../model/agent.ts";
import { makeTaskId } from "../../model/ids.ts";
import type { Principal } from "../../model/principal.ts";
import { isTerminalStatus } from "../../model/response.ts";
import type { IdempotencyKey, NewResponse } from "../../store/state-store/responses.ts";
import type { Agents, PostRequest } from "../agents.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import type { SleepTimers } from "../awake/sleep-timers.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { mayHaveWritten } from "../core/retry-write.ts";

type Posted = Awaited<ReturnType<Agents["post"]>>;

interface Insertion {
  readonly response: NewResponse;
  readonly refuseBusy: boolean;
  readonly key?: IdempotencyKey | undefined;
  /** Others fill half of the queue at most, so that the owner of a published agent always gets in. */
  readonly isOwners: boolean;
}

export async function postResponse(
  core: AgentServices,
  roster: LiveAgents,
  timers: SleepTimers,
  agent: AgentRow,
  request: PostRequest,
  by: Principal,
): Promise<Posted> {
  const { options, input, refuseBusy, key, mayWake } = request;
  if (agent.lastContextLength >= SOFT_LIMIT_TOKENS) throw contextFull(agent);
  if (roster.find(agent.id)?.isGone) throw noAgent();
  const made = { id: randomUUID(), taskId: makeTaskId(), createdBy: by.name, input, options, createdAt: Date.now() };
  const insert = (): Promise<Posted> =>
    insertResponse(core, roster, agent, { response: made, refuseBusy, key, isOwners: mayWake });
  // The door's row may be old: a command would wait for the task that runs.
  if (agent.state !== "slept" || roster.find(agent.id)?.isAwake === true) return await insert();
  if (!mayWake) throw new PaddockError("forbidden", "You can only wake your own agents.");
  timers.cancel(agent.id);
  return await roster.get(agent).wake("implicit_wake", by.name, insert);
}

/** The row first, then the agent is told that work waits. */
export async function insertResponse(
  { store, config }: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
  { response, refuseBusy, key, isOwners }: Insertion,
): Promise<Posted> {
  const { maxQueuedPerAgent, maxQueuedPerPrincipal, maxStoredBytesPerPrincipal } = config.service;
  const options = {
    refuseBusy,
    maxQueued: isOwners ? maxQueuedPerAgent : Math.floor(maxQueuedPerAgent / 2),
    maxOfPrincipal: maxQueuedPerPrincipal,
    maxBytes: maxStoredBytesPerPrincipal,
    ...(key === undefined ? {} : { key }),
  };
  const posted = await store.insertResponse(agent.id, response, options).catch((error: unknown) => {
    // The response may wait all the same, and nobody else would look for it.
    if (mayHaveWritten(error)) roster.get(agent).poke();
    throw error;
  });
  const { row, agent: present, isNew } = posted;
  if (isTerminalStatus(row.status)) return { row, isNew };
  const live = roster.get(present);
  if (live.isGone) throw noAgent();
  live.refresh(present);
  live.poke();
  return { row, isNew };
}

function contextFull({ name, lastContextLength }: AgentRow): PaddockError {
  const clear = `Clear context via POST /api/v0/agents/${name}/context/clear and try again.`;
  return new PaddockError(
    "context_full",
    `Context is full (${lastContextLength} / ${SOFT_LIMIT_TOKENS} tokens). ${clear}`,
  );
}
