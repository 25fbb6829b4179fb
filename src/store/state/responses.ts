import { sql } from "kysely";
import { PaddockError } from "../../errors/error.ts";
import { makeTaskId } from "../../model/ids.ts";
import type { ResponseRow } from "../../model/response.ts";
import type { Fence, ResponseEnd, ResponseWrites } from "../state-store/responses.ts";
import { writeJson } from "./agent-rows.ts";
import { lockAgent } from "./agents.ts";
import type { Database, StateContext } from "./engine/context.ts";
import type { PrincipalBytes } from "./principal-bytes.ts";
import { countClaimed, hasEndedSo, isStored, matchClaim } from "./repeats.ts";
import { type EncodedEnd, readResponse, writeResponse } from "./response-rows.ts";
import { countWrite, type EncodedSegments, encodeSegments, insertSegments } from "./segments.ts";

/**
 * Writes to one response. Each begins with one statement that checks and changes its row; segments follow in the same
 * transaction.
 */
export function makeResponseWrites(state: StateContext, bytes: PrincipalBytes): ResponseWrites {
  return {
    appendSegments: async (id, fence, after, segments) => {
      const added = encodeSegments(segments);
      return await state.transact(async (transaction) => await append(transaction, state, id, fence, after, added));
    },
    finishResponse: async (id, fence, end) => {
      const ending = encodeEnd(end);
      return await state.transact(async (transaction) => {
        const columns = writeEnd(ending, state.now());
        const row = await updateClaimed(transaction, id, fence)
          .set(columns)
          .returning("segment_count")
          .executeTakeFirst();
        if (row === undefined) return await hasEndedSo(transaction, id, fence, ending);
        await insertSegments(transaction, id, row.segment_count, ending.added);
        return true;
      });
    },
    endResponse: async (id, end) => {
      const ending = encodeEnd(end);
      return await state.transact(async (transaction) => {
        const row = await transaction
          .updateTable("responses")
          .set(writeEnd(ending, state.now()))
          .where("id", "=", id)
          .where("finished_at", "is", null)
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) return undefined;
        await insertSegments(transaction, id, row.segment_count, ending.added);
        return readResponse(row);
      });
    },
    requeueResponse: async (id, fence) =>
      await state.ask(async (db) => {
        const row = await updateClaimed(db, id, fence)
          .set({ status: "pending", started_at: null, ...NO_CLAIM, ...countWrite(state.now(), encodeSegments()) })
          .returning("id")
          .executeTakeFirst();
        return row !== undefined;
      }),
    amendResponse: async (id, change, maxBytes) => {
      const added = encodeSegments(change.segments);
      // Of the agent's owner: who posted it has no say in what is added.
      const makeRoom = async (transaction: Database, count: number): Promise<void> => {
        if (maxBytes === undefined) return;
        const agents = transaction.selectFrom("responses").innerJoin("agents", "agents.id", "responses.agent_id");
        const owner = await agents.select("agents.created_by").where("responses.id", "=", id).executeTakeFirst();
        if (owner !== undefined) await bytes.makeRoom(transaction, owner.created_by, count, maxBytes);
      };
      return await state.transact(async (transaction) => await amend(transaction, state, id, change, added, makeRoom));
    },
    insertMarker: async (agentId, id, segments) => {
      const added = encodeSegments(segments);
      return await state.transact(async (transaction) => await insertMarker(transaction, state, agentId, id, added));
    },
  };
}

const NO_CLAIM = { claim_node: null, claim_reign: null } as const;

const updateClaimed = (db: Database, id: string, fence: Fence) =>
  db.updateTable("responses").where((fields) => fields.and(matchClaim(id, fence)));

const encodeEnd = (end: ResponseEnd): EncodedEnd => ({
  end,
  error: end.error === undefined ? null : writeJson(end.error),
  output: end.outputContent === undefined ? undefined : writeJson(end.outputContent),
  added: encodeSegments(end.segments),
});

const writeEnd = ({ end, error, output, added }: EncodedEnd, now: number) => ({
  status: end.status,
  finished_at: now,
  error_json: error,
  ...(output === undefined ? {} : { output_json: output }),
  ...NO_CLAIM,
  ...countWrite(now, added, Buffer.byteLength(output ?? "") + Buffer.byteLength(error ?? "")),
});

async function append(
  transaction: Database,
  state: StateContext,
  id: string,
  fence: Fence,
  after: number,
  added: EncodedSegments,
): Promise<number | false> {
  const write = updateClaimed(transaction, id, fence).set(countWrite(state.now(), added)).returning("segment_count");
  let row = await write.where("segment_count", "=", after).executeTakeFirst();
  if (row === undefined) {
    // Somebody else has written meanwhile, or this call has, and its answer was lost.
    const count = await countClaimed(transaction, state, id, fence);
    if (count === undefined) return false;
    if (await isStored(transaction, id, after, added)) return count;
    row = await write.executeTakeFirstOrThrow();
  }
  await insertSegments(transaction, id, row.segment_count, added);
  return row.segment_count;
}

/** Whoever reads a response holds all of it in memory: clients cannot add to it without end. */
export const MAX_AMENDED_BYTES = 16 * 1024 * 1024;

async function amend(
  transaction: Database,
  state: StateContext,
  id: string,
  change: Parameters<ResponseWrites["amendResponse"]>[1],
  added: EncodedSegments,
  makeRoom: (transaction: Database, bytes: number) => Promise<void>,
): Promise<ResponseRow | undefined> {
  const input = change.input === undefined ? undefined : writeJson(change.input);
  const output = change.outputContent === undefined ? undefined : writeJson(change.outputContent);
  const textBytes = Buffer.byteLength(input ?? "") + Buffer.byteLength(output ?? "");
  await makeRoom(transaction, added.bytes + textBytes);
  const row = await transaction
    .updateTable("responses")
    .set({
      ...(input === undefined ? {} : { input_json: input }),
      ...(output === undefined ? {} : { output_json: output }),
      ...countWrite(state.now(), added, textBytes),
      amended_bytes: sql<number>`amended_bytes + ${added.bytes + textBytes}`,
    })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return undefined;
  if (row.bytes > MAX_AMENDED_BYTES)
    throw new PaddockError("too_large", "the response would be larger than 16 MiB with this");
  await insertSegments(transaction, id, row.segment_count, added);
  return readResponse(row);
}

async function insertMarker(
  transaction: Database,
  state: StateContext,
  agentId: string,
  id: string,
  added: EncodedSegments,
): Promise<ResponseRow | undefined> {
  const agent = await lockAgent(transaction, state, agentId);
  if (agent === undefined) return undefined;
  const now = state.now();
  const blank = writeResponse(agent, {
    id,
    taskId: makeTaskId(),
    createdBy: agent.createdBy,
    input: { content: [] },
    options: { idempotent: false },
    createdAt: now,
  });
  const row = await transaction
    .insertInto("responses")
    .values({
      ...blank,
      status: "completed",
      finished_at: now,
      output_json: "[]",
      segment_count: added.texts.length,
      bytes: blank.bytes + added.bytes,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await insertSegments(transaction, id, row.segment_count, added);
  return readResponse(row);
}
