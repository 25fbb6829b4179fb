import { PaddockError } from "../../errors/error.ts";
import { noResponse } from "../../errors/not-found.ts";
import type { AgentRow } from "../../model/agent.ts";
import { isTerminalStatus, type ResponseRow } from "../../model/response.ts";
import type { ResponseWithSegments } from "../../store/state-store/responses.ts";
import type { ResponseAmendment } from "../agents.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import { cancelRow } from "../awake/sleep.ts";
import type { AgentServices } from "../core/agent-services.ts";

/** Ends the running response, else the newest that waits. */
export async function cancelPresent(core: AgentServices, roster: LiveAgents, agent: AgentRow): Promise<boolean> {
  const query = { status: "pending", order: "desc", limit: 1, offset: 0 } as const;
  const findRunning = async (): Promise<string | undefined> => (await roster.find(agent.id)?.current())?.row.id;
  for (;;) {
    const running = await findRunning();
    if (running !== undefined && (await endRow(core, roster, agent, running))) return true;
    const [newest] = await core.store.listResponses(agent.id, query);
    if (newest !== undefined && (await endRow(core, roster, agent, newest.row.id))) return true;
    // It may have been claimed between the two looks.
    const now = newest === undefined ? await findRunning() : undefined;
    if (newest === undefined && (now === undefined || now === running)) return false;
  }
}

/** Throws `not_found`. */
export async function cancelOne(
  core: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
  responseId: string,
): Promise<boolean> {
  await findRow(core, agent, responseId);
  return await endRow(core, roster, agent, responseId);
}

/** Throws `not_found` and, for another status than the one it has ended with, `task_ended`. */
export async function amendResponse(
  core: AgentServices,
  roster: LiveAgents,
  agent: AgentRow,
  responseId: string,
  change: ResponseAmendment,
): Promise<ResponseWithSegments> {
  const { store, logs, config } = core;
  const row = await findRow(core, agent, responseId);
  const { status, input, segments, outputContent } = change;
  const rest = { ...(input === undefined ? {} : { input }), ...(outputContent === undefined ? {} : { outputContent }) };
  if (isTerminalStatus(row.status) && status !== undefined && status !== row.status) throw hasEnded(row);
  if (segments.length > 0 || Object.keys(rest).length > 0)
    await store.amendResponse(responseId, { segments, ...rest }, config.service.maxStoredBytesPerPrincipal);
  if (status !== undefined && isTerminalStatus(status) && !isTerminalStatus(row.status)) {
    const ended = await store.endResponse(responseId, { status });
    if (ended === undefined) await assertStatus(core, responseId, status);
    await stopRun(core, roster, agent, responseId);
  }
  logs.changed(responseId);
  const amended = await store.getResponse(responseId);
  if (amended === undefined) throw noResponse();
  return amended;
}

/** The row first, so that it stays cancelled whatever the run still writes; then its processes. */
async function endRow(core: AgentServices, roster: LiveAgents, agent: AgentRow, responseId: string): Promise<boolean> {
  const ended = await cancelRow(core, responseId, "user_cancel");
  // Whoever cancelled it before may not have come to its processes.
  if (ended === undefined && (await core.store.findResponse(responseId))?.status !== "cancelled") return false;
  await stopRun(core, roster, agent, responseId);
  return ended !== undefined;
}

/**
 * Kills what a response runs whose row has ended, and waits until it is dead. The agent is idle then when nothing else
 * waits.
 */
async function stopRun(core: AgentServices, roster: LiveAgents, agent: AgentRow, responseId: string): Promise<void> {
  const live = roster.find(agent.id);
  const run = await live?.current();
  if (run?.row.id === responseId) {
    run.abort(new PaddockError("cancelled", "the task was cancelled"));
    await run.ended;
  }
  live?.refresh(await core.store.settleAgent(agent.id, Date.now()));
}

async function findRow({ store }: AgentServices, agent: AgentRow, responseId: string): Promise<ResponseRow> {
  const row = await store.findResponse(responseId);
  if (row === undefined || row.agentId !== agent.id) throw noResponse();
  return row;
}

async function assertStatus(
  { store }: AgentServices,
  responseId: string,
  status: ResponseRow["status"],
): Promise<void> {
  const row = await store.findResponse(responseId);
  if (row === undefined) throw noResponse();
  if (row.status !== status) throw hasEnded(row);
}

const hasEnded = ({ status }: ResponseRow): PaddockError =>
  new PaddockError("task_ended", `the response has ended as ${status}`);
