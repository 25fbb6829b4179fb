import type { SelectQueryBuilder } from "kysely";
import { sql } from "kysely";
import { PaddockError } from "../../errors/error.ts";
import type { AgentRow, AgentSummary } from "../../model/agent.ts";
import type { AgentQuery, AgentStore } from "../state-store/agents.ts";
import { makeNameKey, readAgent, readSummary, SUMMARY_COLUMNS, sizeOf, writeAgent, writePatch } from "./agent-rows.ts";
import type { Database, StateContext } from "./engine/context.ts";
import type { Tables } from "./engine/tables.ts";
import { makeGoneError, takeKey } from "./keys.ts";
import { writeResponse } from "./response-rows.ts";

export function makeAgentRows(state: StateContext): AgentStore {
  return {
    insertAgent: async (agent, options = {}) =>
      await state.transact(async (transaction) => {
        const known = await takeKey(transaction, options.key, agent.id, state.now());
        if (known !== undefined) return { agent: await readMade(transaction, known), isNew: false };
        await assertRoom(transaction, agent, options);
        await assertCopies(transaction, agent, options.maxCopiesOfParent);
        const made = await insertRow(transaction, agent);
        if (options.first !== undefined)
          await transaction.insertInto("responses").values(writeResponse(made, options.first)).execute();
        return { agent: made, isNew: true };
      }),
    findAgent: async (name) => await state.ask(async (db) => await readOne(db, "name_key", makeNameKey(name))),
    getAgent: async (id) => await state.ask(async (db) => await readOne(db, "id", id)),
    listAgents: async (query) => await state.ask(async (db) => await listAgents(db, state, query)),
    listAgentsOf: async (nodeId) =>
      await state.ask(async (db) => {
        const query = db.selectFrom("agents").select(SUMMARY_COLUMNS).where("node_id", "=", nodeId).orderBy("seq");
        return (await query.execute()).map(readSummary);
      }),
    countAgents: async (nodeId) =>
      await state.ask(async (db) => {
        const rows = await db
          .selectFrom("agents")
          .where("node_id", "=", nodeId)
          .groupBy("state")
          .select((fields) => ["state", fields.fn.countAll<number>().as("count")])
          .execute();
        return Object.fromEntries(rows.map((row) => [row.state, row.count]));
      }),
    updateAgent: async (id, patch, condition) =>
      patch.description === undefined
        ? await state.ask(async (db) => await updateRow(db, id, patch, condition, ""))
        : await state.transact(async (transaction) => {
            const found = await transaction.selectFrom("agents").select("name").where("id", "=", id).executeTakeFirst();
            return found && (await updateRow(transaction, id, patch, condition, found.name));
          }),
    deleteAgent: async (id) =>
      await state.transact(async (transaction) => {
        const gone = await lockAgent(transaction, state, id);
        if (gone === undefined) return undefined;
        await transaction
          .updateTable("agents")
          .set({ parent_id: null, version: sql<number>`version + 1` })
          .where("parent_id", "=", id)
          .execute();
        await transaction.deleteFrom("agents").where("id", "=", id).execute();
        return gone;
      }),
  };
}

/** Names never change, so a name read before the update is the name. */
async function updateRow(
  db: Database,
  id: string,
  patch: Parameters<AgentStore["updateAgent"]>[1],
  condition: Parameters<AgentStore["updateAgent"]>[2],
  name: string,
): Promise<AgentRow | undefined> {
  if (condition?.states?.length === 0) return undefined;
  let query = db
    .updateTable("agents")
    .set({ ...writePatch(patch, name), version: sql<number>`version + 1` })
    .where("id", "=", id);
  if (condition?.states !== undefined) query = query.where("state", "in", [...condition.states]);
  const row = await query.returningAll().executeTakeFirst();
  return row && readAgent(row);
}

/** Holds the agent until the end of the transaction: what waits, runs and changes of it is decided by one at a time. */
export async function lockAgent(transaction: Database, state: StateContext, id: string): Promise<AgentRow | undefined> {
  const query = transaction.selectFrom("agents").selectAll().where("id", "=", id);
  const row = await (state.dialect.locksRows ? query.forUpdate() : query).executeTakeFirst();
  return row && readAgent(row);
}

async function readOne(db: Database, column: "id" | "name_key", value: string): Promise<AgentRow | undefined> {
  const row = await db.selectFrom("agents").selectAll().where(column, "=", value).executeTakeFirst();
  return row && readAgent(row);
}

async function readMade(db: Database, id: string): Promise<AgentRow> {
  const agent = await readOne(db, "id", id);
  if (agent === undefined) throw makeGoneError();
  return agent;
}

async function assertRoom(
  transaction: Database,
  agent: Omit<AgentRow, "version">,
  { maxOfPrincipal, maxWorkspaceBytes }: NonNullable<Parameters<AgentStore["insertAgent"]>[1]>,
): Promise<void> {
  if (maxOfPrincipal === undefined && maxWorkspaceBytes === undefined) return;
  const { createdBy } = agent;
  const { count, bytes } = await transaction
    .selectFrom("agents")
    .where("created_by", "=", createdBy)
    .select((fields) => [
      fields.fn.countAll<number>().as("count"),
      fields.fn.sum<number | string | null>("workspace_bytes").as("bytes"),
    ])
    .executeTakeFirstOrThrow();
  const refuse = (what: string): PaddockError =>
    new PaddockError("quota_reached", `${createdBy} has ${what}, and more are not given to one principal`);
  if (maxOfPrincipal !== undefined && count >= maxOfPrincipal) throw refuse(`${count} agents`);
  if (maxWorkspaceBytes !== undefined && Number(bytes ?? 0) + sizeOf(agent) > maxWorkspaceBytes)
    throw refuse(`workspaces of ${bytes ?? 0} of ${maxWorkspaceBytes} bytes`);
}

async function assertCopies(
  transaction: Database,
  { missingCopy }: Omit<AgentRow, "version">,
  most: number | undefined,
): Promise<void> {
  if (missingCopy === null || most === undefined) return;
  const { count } = await transaction
    .selectFrom("agents")
    .where("parent_id", "=", missingCopy.parentId)
    // A copy that failed is not made any more.
    .where("missing_copy_json", "like", '%"needsPublication":true%')
    .where("missing_copy_json", "not like", '%"failure":%')
    .select((fields) => fields.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  if (count >= most)
    throw new PaddockError("rate_limited", `${count} copies of this agent are being made for others already`, {
      hint: "Try again when some of them are there.",
      context: { retryAfterMs: 5000 },
    });
}

async function insertRow(transaction: Database, agent: Omit<AgentRow, "version">): Promise<AgentRow> {
  const row = await transaction
    .insertInto("agents")
    .values(writeAgent(agent, await findParent(transaction, agent.parentName)))
    .onConflict((conflict) => conflict.column("name_key").doNothing())
    .returningAll()
    .executeTakeFirst();
  if (row !== undefined) return readAgent(row);
  throw new PaddockError("name_taken", `Agent name '${agent.name}' already exists. Choose a different name.`);
}

async function findParent(transaction: Database, name: string | null): Promise<string | null> {
  if (name === null) return null;
  const query = transaction.selectFrom("agents").select("id").where("name_key", "=", makeNameKey(name));
  return (await query.executeTakeFirst())?.id ?? null;
}

async function listAgents(
  db: Database,
  state: StateContext,
  query: AgentQuery,
): Promise<{ items: readonly AgentSummary[]; total: number }> {
  const matching = filterAgents(db.selectFrom("agents"), state, query);
  const { total } = await matching
    .select((fields) => fields.fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  const rows = await matching
    .select(SUMMARY_COLUMNS)
    .orderBy(query.publishedOnly === true ? "published_at" : "created_at", "desc")
    .orderBy("seq", "desc")
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return { items: rows.map(readSummary), total };
}

function filterAgents<O>(
  agents: SelectQueryBuilder<Tables, "agents", O>,
  state: StateContext,
  query: AgentQuery,
): SelectQueryBuilder<Tables, "agents", O> {
  const has = (column: "search_text" | "tags_json", part: string) =>
    sql<boolean>`${sql.raw(state.dialect.findPart)}(${sql.ref(column)}, ${part}) > 0`;
  let found = agents;
  if (query.createdBy !== undefined) found = found.where("created_by", "=", query.createdBy);
  if (query.publishedOnly === true) found = found.where("published_at", "is not", null);
  if (query.state !== undefined) found = found.where(sql<string>`state`, "=", query.state);
  if (query.text !== undefined && query.text !== "") found = found.where(has("search_text", query.text.toLowerCase()));
  // A tag holds no quotes, so its JSON stands in the list's JSON exactly where the tag is in the list.
  for (const tag of query.tags ?? []) found = found.where(has("tags_json", JSON.stringify(tag)));
  return found;
}
