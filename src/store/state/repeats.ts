import type { Fence } from "../state-store/responses.ts";
import type { Database, StateContext } from "./engine/context.ts";
import type { EncodedEnd } from "./response-rows.ts";
import type { EncodedSegments } from "./segments.ts";

/**
 * Matches nothing once the claim is over: an end, a requeue, a later claim and a later reign each change one of these.
 */
export const matchClaim = (id: string, { nodeId, reign, attempt }: Fence) =>
  ({ id, status: "processing", claim_node: nodeId, claim_reign: reign, attempts: attempt }) as const;

/**
 * How many segments a claimed response has; its row is held until the end of the transaction. Undefined when the claim
 * is over.
 */
export async function countClaimed(
  transaction: Database,
  state: StateContext,
  id: string,
  fence: Fence,
): Promise<number | undefined> {
  const responses = transaction.selectFrom("responses").select("segment_count");
  const query = responses.where((fields) => fields.and(matchClaim(id, fence)));
  return (await (state.dialect.locksRows ? query.forUpdate() : query).executeTakeFirst())?.segment_count;
}

/**
 * Whether these segments, one after the other, are among those after number `after`: an attempt whose answer was lost
 * has stored them.
 */
export async function isStored(
  transaction: Database,
  id: string,
  after: number,
  { texts }: EncodedSegments,
): Promise<boolean> {
  const query = transaction.selectFrom("segments").select("segment_json").where("response_id", "=", id);
  const rows = await query.where("number", ">", after).orderBy("number").execute();
  return rows.some((_, at) => texts.every((text, index) => rows[at + index]?.segment_json === text));
}

/** Whether this attempt has ended the response with these very words: its answer was lost. */
export async function hasEndedSo(
  transaction: Database,
  id: string,
  fence: Fence,
  { end, error, output, added }: EncodedEnd,
): Promise<boolean> {
  const row = await transaction
    .selectFrom("responses")
    .select(["error_json", "output_json"])
    .where("id", "=", id)
    .where("status", "=", end.status)
    .where("attempts", "=", fence.attempt)
    .executeTakeFirst();
  if (row === undefined || row.error_json !== error || (output ?? row.output_json) !== row.output_json) return false;
  return added.texts.length === 0 || (await isStored(transaction, id, 0, added));
}
