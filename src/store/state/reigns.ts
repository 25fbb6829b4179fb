import { sql } from "kysely";
import { PaddockError } from "../../errors/error.ts";
import type { ReignStore } from "../state-store/reigns.ts";
import type { Database, StateContext } from "./engine/context.ts";
import { readResponse } from "./response-rows.ts";

/** No reign has this number: a claim that carries it matches no fence. */
const NO_REIGN = 0;

export function makeReigns(state: StateContext): ReignStore {
  return {
    beginReign: async (nodeId, url) =>
      await state.transact(async (transaction) => {
        const { reign } = await transaction
          .insertInto("nodes")
          .values({ id: nodeId, reign: 1, url })
          .onConflict((conflict) => conflict.column("id").doUpdateSet({ reign: sql<number>`nodes.reign + 1`, url }))
          .returning("reign")
          .executeTakeFirstOrThrow();
        // A writer that is under way holds its row: it ends before this, or finds its claim fenced.
        await transaction
          .updateTable("responses")
          .set({ claim_reign: NO_REIGN })
          .where("finished_at", "is", null)
          .where("claim_node", "=", nodeId)
          .execute();
        return reign;
      }),
    findNodeUrl: async (nodeId) =>
      await state.ask(async (db) => {
        const row = await db.selectFrom("nodes").select("url").where("id", "=", nodeId).executeTakeFirst();
        return row?.url ?? undefined;
      }),
    takeOverClaims: async (nodeId, reign) =>
      await state.transact(async (transaction) => {
        await assertReign(transaction, state, nodeId, reign);
        const rows = await transaction
          .updateTable("responses")
          .set({ claim_reign: reign, version: sql<number>`version + 1`, updated_at: state.now() })
          .where("finished_at", "is", null)
          .where("claim_node", "=", nodeId)
          .where("claim_reign", "<>", reign)
          .returningAll()
          .execute();
        return rows
          .map(readResponse)
          .sort((one, other) => one.seq - other.seq)
          .map((row) => ({ row, fence: { nodeId, reign, attempt: row.attempts } }));
      }),
  };
}

/** Holds the reign until the end of the transaction. Throws `fenced` when it is over. */
export async function assertReign(
  transaction: Database,
  state: StateContext,
  nodeId: string,
  reign: number,
): Promise<void> {
  const query = transaction.selectFrom("nodes").select("reign").where("id", "=", nodeId);
  const found = await (state.dialect.locksRows ? query.forShare() : query).executeTakeFirst();
  if (found?.reign === reign) return;
  throw new PaddockError("fenced", `another process has taken over data folder ${nodeId}`);
}
