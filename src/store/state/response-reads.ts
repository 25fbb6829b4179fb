import type { Selectable } from "kysely";
import type { AgentId } from "../../model/ids.ts";
import type { Segment } from "../../model/response.ts";
import type { ResponseReads, ResponseWithSegments } from "../state-store/responses.ts";
import type { Database, StateContext } from "./engine/context.ts";
import type { ResponsesTable } from "./engine/tables.ts";
import { readResponse } from "./response-rows.ts";

export function makeResponseReads(state: StateContext): ResponseReads {
  return {
    getResponse: async (id) =>
      await state.ask(async (db) => {
        const row = await db.selectFrom("responses").selectAll().where("id", "=", id).executeTakeFirst();
        return row && (await addSegments(db, [row]))[0];
      }),
    findResponse: async (id) =>
      await state.ask(async (db) => {
        const row = await db.selectFrom("responses").selectAll().where("id", "=", id).executeTakeFirst();
        return row && readResponse(row);
      }),
    listSegments: async (id, after, limit) =>
      await state.ask(async (db) => {
        const query = db.selectFrom("segments").select("segment_json").where("response_id", "=", id);
        const found = query.where("number", ">", after).orderBy("number");
        const rows = await (limit === undefined ? found : found.limit(limit)).execute();
        return rows.map((row) => readSegment(row.segment_json));
      }),
    listResponses: async (agentId, query) =>
      await state.ask(async (db) => {
        let found = db.selectFrom("responses").selectAll().where("agent_id", "=", agentId);
        if (query.status !== undefined) found = found.where("status", "=", query.status);
        return await addSegments(
          db,
          await found.orderBy("seq", query.order).limit(query.limit).offset(query.offset).execute(),
        );
      }),
    countResponses: async (agentId, status) =>
      await state.ask(async (db) => {
        let found = db.selectFrom("responses").where("agent_id", "=", agentId);
        if (status !== undefined) found = found.where("status", "=", status);
        const row = await found.select((fields) => fields.fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
        return row.count;
      }),
    findNext: async (agentId) =>
      await state.ask(async (db) => {
        const waiting = db.selectFrom("responses").select("id").where("agent_id", "=", agentId);
        const open = waiting.where("finished_at", "is", null).where("status", "=", "pending");
        return (await open.orderBy("seq").limit(1).executeTakeFirst())?.id;
      }),
    countWork: async (nodeId) =>
      await state.ask(async (db) => {
        const rows = await selectOpen(db, nodeId)
          .select((fields) => ["responses.status", fields.fn.countAll<number>().as("count")])
          .groupBy("responses.status")
          .execute();
        const count = (status: string): number => rows.find((row) => row.status === status)?.count ?? 0;
        return { pending: count("pending"), processing: count("processing") };
      }),
    listUnfinished: async (nodeId) =>
      await state.ask(async (db) => {
        const rows = await selectOpen(db, nodeId)
          .select(["responses.id", "responses.agent_id", "responses.status"])
          .orderBy("responses.seq")
          .execute();
        return rows.map(({ id, agent_id, status }) => ({ id, agentId: agent_id as AgentId, status }));
      }),
  };
}

const selectOpen = (db: Database, nodeId: string) =>
  db
    .selectFrom("responses")
    .innerJoin("agents", "agents.id", "responses.agent_id")
    .where("responses.finished_at", "is", null)
    .where("agents.node_id", "=", nodeId);

const readSegment = (json: string): Segment => JSON.parse(json);

/**
 * The segments that a row counts, and none that was appended after the row was read: version and history belong
 * together.
 */
async function addSegments(db: Database, rows: readonly Selectable<ResponsesTable>[]): Promise<ResponseWithSegments[]> {
  const ids = rows.filter((row) => row.segment_count > 0).map((row) => row.id);
  const segments = new Map(rows.map((row) => [row.id, [] as Segment[]]));
  const counts = new Map(rows.map((row) => [row.id, row.segment_count]));
  if (ids.length > 0) {
    const query = db.selectFrom("segments").selectAll().where("response_id", "in", ids);
    for (const found of await query.orderBy("response_id").orderBy("number").execute())
      if (found.number <= (counts.get(found.response_id) ?? 0))
        segments.get(found.response_id)?.push(readSegment(found.segment_json));
  }
  return rows.map((row) => ({ row: readResponse(row), segments: segments.get(row.id) ?? [] }));
}
