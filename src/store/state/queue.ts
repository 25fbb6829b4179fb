import { sql } from "kysely";
import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { ResponseRow } from "../../model/response.ts";
import type { ResponseQueue } from "../state-store/queue.ts";
import { readAgent } from "./agent-rows.ts";
import { lockAgent } from "./agents.ts";
import type { Database, StateContext } from "./engine/context.ts";
import { makeGoneError, takeKey } from "./keys.ts";
import { KEY_BYTES, type PrincipalBytes } from "./principal-bytes.ts";
import { assertReign } from "./reigns.ts";
import { readResponse, writeResponse } from "./response-rows.ts";

/** How responses enter an agent's queue and leave it for work. The agent is locked first, its responses after it. */
export function makeQueue(state: StateContext, bytes: PrincipalBytes): ResponseQueue {
  return {
    insertResponse: async (agentId, response, options) =>
      await state.transact(async (transaction) => {
        const now = state.now();
        const known = await takeKey(transaction, options.key, response.id, now);
        const agent = await lockAgent(transaction, state, agentId);
        if (known !== undefined) return { ...(await readMade(transaction, known, agent)), isNew: false };
        if (agent === undefined) throw noAgent();
        if (options.refuseBusy && agent.state === "busy") throw new PaddockError("agent_busy", "Agent is busy");
        await assertRoom(transaction, state, { agentId, principal: response.createdBy, ...options });
        const written = writeResponse(agent, response);
        const { maxBytes } = options;
        const added = Number(written.bytes) + (options.key === undefined ? 0 : KEY_BYTES);
        if (maxBytes !== undefined) await bytes.makeRoom(transaction, response.createdBy, added, maxBytes);
        const busy = await markPosted(transaction, agent, now);
        const row = await transaction.insertInto("responses").values(written).returningAll().executeTakeFirstOrThrow();
        return { row: readResponse(row), agent: busy, isNew: true };
      }),

    claimResponse: async (agentId, nodeId, reign, isRepeat = false) =>
      await state.transact(async (transaction) => {
        await assertReign(transaction, state, nodeId, reign);
        const agent = await lockAgent(transaction, state, agentId);
        if (agent === undefined || agent.nodeId !== nodeId) return undefined;
        const held = isRepeat ? await findHeld(transaction, agentId, nodeId, reign) : undefined;
        if (held !== undefined) return held;
        const seq = await findPending(transaction, state, agentId);
        if (seq === undefined) return undefined;
        const now = state.now();
        if (agent.state !== "busy") await makeBusy(transaction, agent, now);
        const row = await transaction
          .updateTable("responses")
          .set({
            status: "processing",
            attempts: sql<number>`attempts + 1`,
            version: sql<number>`version + 1`,
            claim_node: nodeId,
            claim_reign: reign,
            started_at: now,
            updated_at: now,
          })
          .where("seq", "=", seq)
          .returningAll()
          .executeTakeFirstOrThrow();
        return readResponse(row);
      }),

    settleAgent: async (agentId, now) =>
      await state.transact(async (transaction) => {
        const agent = await lockAgent(transaction, state, agentId);
        if (agent?.state !== "busy" || (await hasOpen(transaction, agentId))) return agent;
        const idle = { state: "idle", idle_from: now, busy_from: null, last_activity_at: now } as const;
        return await changeAgent(transaction, agentId, idle);
      }),
  };
}

async function readMade(
  transaction: Database,
  id: string,
  agent: AgentRow | undefined,
): Promise<{ row: ResponseRow; agent: AgentRow }> {
  const row = await transaction.selectFrom("responses").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined || agent === undefined) throw makeGoneError();
  return { row: readResponse(row), agent };
}

interface Room {
  readonly agentId: string;
  readonly principal: string;
  readonly maxQueued: number;
  readonly maxOfPrincipal: number;
}

/** The agent is locked already; its creator's other agents are not, so the creator is. */
async function assertRoom(transaction: Database, state: StateContext, room: Room): Promise<void> {
  await state.dialect.lockName(transaction, `paddock principal ${room.principal}`);
  const pending = transaction
    .selectFrom("responses")
    .select((fields) => fields.fn.countAll<number>().as("count"))
    .where("finished_at", "is", null)
    .where("status", "=", "pending");
  const found = await transaction
    .selectNoFrom([
      pending.where("agent_id", "=", room.agentId).as("of_agent"),
      pending.where("created_by", "=", room.principal).as("of_principal"),
    ])
    .executeTakeFirstOrThrow();
  if ((found.of_agent ?? 0) >= room.maxQueued)
    throw new PaddockError("queue_full", `${room.maxQueued} tasks wait for this agent already`);
  if ((found.of_principal ?? 0) >= room.maxOfPrincipal)
    throw new PaddockError("queue_full", `${room.maxOfPrincipal} tasks of this principal wait already`);
}

async function markPosted(transaction: Database, agent: AgentRow, now: number): Promise<AgentRow> {
  if (agent.state === "init" || agent.state === "idle") return await makeBusy(transaction, agent, now);
  return await changeAgent(transaction, agent.id, { last_activity_at: now });
}

const makeBusy = async (transaction: Database, agent: AgentRow, now: number): Promise<AgentRow> =>
  await changeAgent(transaction, agent.id, { state: "busy", busy_from: now, idle_from: null, last_activity_at: now });

async function changeAgent(
  transaction: Database,
  id: string,
  columns: {
    readonly state?: "busy" | "idle";
    readonly busy_from?: number | null;
    readonly idle_from?: number | null;
    readonly last_activity_at: number;
  },
): Promise<AgentRow> {
  const row = await transaction
    .updateTable("agents")
    .set({ ...columns, version: sql<number>`version + 1` })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return readAgent(row);
}

/** Locked, so that it is pending still when it is claimed. */
async function findPending(transaction: Database, state: StateContext, agentId: string): Promise<number | undefined> {
  const query = transaction
    .selectFrom("responses")
    .select("seq")
    .where("agent_id", "=", agentId)
    .where("finished_at", "is", null)
    .where("status", "=", "pending")
    .orderBy("seq")
    .limit(1);
  return (await (state.dialect.locksRows ? query.forUpdate() : query).executeTakeFirst())?.seq;
}

/** The agent is locked, so a claim whose answer was lost has committed by now, or never will. */
async function findHeld(
  transaction: Database,
  agentId: string,
  nodeId: string,
  reign: number,
): Promise<ResponseRow | undefined> {
  const query = transaction.selectFrom("responses").selectAll().where("agent_id", "=", agentId);
  const open = query.where("finished_at", "is", null).where("claim_node", "=", nodeId);
  const row = await open.where("claim_reign", "=", reign).orderBy("seq").limit(1).executeTakeFirst();
  return row && readResponse(row);
}

async function hasOpen(transaction: Database, agentId: string): Promise<boolean> {
  const query = transaction.selectFrom("responses").select("seq").where("agent_id", "=", agentId);
  return (await query.where("finished_at", "is", null).limit(1).executeTakeFirst()) !== undefined;
}
